"""Telling somebody what happens."""

from collections.abc import Callable

Progress = Callable[[str], None]
