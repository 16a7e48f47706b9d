"""The platform, with its services running: the one place where commands and flows open it."""

from collections.abc import Iterator
from contextlib import contextmanager

from deploy.local import DATA, running
from lakehouse.platform import Platform
from lakehouse.settings import Settings


@contextmanager
def opened(settings: Settings, needs: frozenset[str] = DATA) -> Iterator[Platform]:
    """Run the needed services, except those with a configured address, and open the platform.

    Args:
        settings: Configured addresses are used as they are.
        needs: Names from ``deploy.local``; by default every service that holds data.

    Yields:
        The platform, whose settings have the addresses of all services.
    """
    with running(settings, needs=needs) as filled, Platform(filled) as platform:
        yield platform
