"""The settings and services that a command works with."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lakehouse.cli import show
from lakehouse.services import running
from lakehouse.settings import Settings, load_settings


@contextmanager
def services_up(
    *, quiet: bool = False, orchestrated: bool = False, **overrides: Any
) -> Iterator[Settings]:
    """Load the settings and have the services running."""
    settings = load_settings(**overrides)
    progress = None if quiet else show.progress
    with running(settings, progress=progress, orchestrated=orchestrated) as filled:
        yield filled
