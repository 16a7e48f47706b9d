"""The settings and services that a command works with."""

from collections.abc import Iterator
from contextlib import contextmanager

from deploy.local import DATA, running
from flows.cli import show
from lakehouse.settings import Settings, load_settings


@contextmanager
def services_up(*needs: str, quiet: bool = False) -> Iterator[Settings]:
    """Load the settings and have the services running; without names, lake and warehouse."""
    progress = None if quiet else show.progress
    with running(load_settings(), needs=frozenset(needs) or DATA, progress=progress) as filled:
        yield filled
