"""One writer at a time: a global concurrency limit that every writing step acquires."""

from collections.abc import Iterator
from contextlib import contextmanager

from prefect.concurrency.sync import concurrency
from prefect.runtime import deployment

LIMIT = "weekahead-writers"
# The shortest lease that the server accepts, so that a killed run does not block the slot for long.
LEASE_SECONDS = 60


@contextmanager
def writing() -> Iterator[None]:
    """Wait for the slot and hold it; runs without a deployment need none.

    For those, the lake's compare-and-swap and the stages' locks keep writers apart.
    """
    if not deployment.id:
        yield
        return
    with concurrency(LIMIT, occupy=1, lease_duration=LEASE_SECONDS):
        yield
