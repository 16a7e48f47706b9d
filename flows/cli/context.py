"""The settings and services that a command works with."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from deploy.local import DATA, running
from flows.cli import show
from lakehouse.settings import Settings, load_settings


@contextmanager
def services_up(*needs: str, quiet: bool = False) -> Iterator[Settings]:
    """Load the settings and have the services running.

    Args:
        *needs: Of the names in ``deploy.local``; by default everything that holds data.
        quiet: Show no progress.
    """
    if quiet:
        logging.getLogger("weekahead").setLevel(logging.WARNING)
    with running(load_settings(), needs=frozenset(needs) or DATA) as filled:
        yield filled


def perform(
    use_case: str, *parameters: Any, machine: bool, needs: frozenset[str] = DATA, **options: Any
) -> int:
    """Do a use case and show its result.

    Args:
        use_case: Its name in the table of use cases.
        *parameters: Its own.
        machine: Show JSON.
        needs: Of the names in ``deploy.local``.
        **options: Its own, likewise.

    Returns:
        The exit code.
    """
    from lakehouse.usecases import USE_CASES

    row = USE_CASES[use_case]
    with services_up(*needs) as settings:
        report = row.run(settings, *parameters, **options)
    return show.result(row.describe(report), machine=machine)
