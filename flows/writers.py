"""One writer at a time: a global concurrency limit that every writing step takes."""

from collections.abc import Iterator
from contextlib import contextmanager

from prefect.concurrency.sync import concurrency
from prefect.runtime import deployment

LIMIT = "weekahead-writers"
# The shortest that the server takes: a killed run must not keep the slot for long.
LEASE_SECONDS = 60


@contextmanager
def writing() -> Iterator[None]:
    """Wait for the slot and keep it; a run by hand without a deployment does without.

    There the lake's compare-and-swap and the stages' locks still keep writers apart.
    """
    if not deployment.id:
        yield
        return
    with concurrency(LIMIT, occupy=1, lease_duration=LEASE_SECONDS):
        yield
