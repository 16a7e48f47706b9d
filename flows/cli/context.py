"""The services that a command needs."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from deploy.local import DATA
from flows.cli import show
from flows.opened import opened
from lakehouse.platform import Platform
from lakehouse.settings import load_settings


@contextmanager
def services_up(*needs: str, quiet: bool = False) -> Iterator[Platform]:
    """Load the settings and start the services that are not running yet.

    Args:
        *needs: Names from ``deploy.local``; by default every service that holds data.
        quiet: Show no progress.

    Yields:
        The platform.
    """
    if quiet:
        logging.getLogger("weekahead").setLevel(logging.WARNING)
    with opened(load_settings(), frozenset(needs) or DATA) as platform:
        yield platform


def perform(
    use_case: str, *parameters: Any, machine: bool, needs: frozenset[str] = DATA, **options: Any
) -> int:
    """Run a use case and show its result.

    Args:
        use_case: Name in the table of use cases.
        *parameters: Positional parameters of the use case.
        machine: Show JSON.
        needs: Names of services from ``deploy.local``.
        **options: Keyword parameters of the use case.

    Returns:
        The exit code.
    """
    from lakehouse.usecases import USE_CASES

    row = USE_CASES[use_case]
    with services_up(*needs) as platform:
        report = row.run(platform, *parameters, **options)
    return show.result(row.describe(report), machine=machine)
