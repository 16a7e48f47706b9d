"""Telling somebody what happens."""

from collections.abc import Callable

Progress = Callable[[str], None]


def silent(message: str) -> None:
    """Tell nobody."""
    del message
