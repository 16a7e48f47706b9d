"""One thread per fit, so that sums of floats do not depend on the number of cores.

OpenMP's limit belongs to a thread, and is set for the time of a fit. OpenBLAS' limit belongs to the
process: a fit that restored it would let a concurrent fit continue on all cores, with last digits
that depend on the moment. So it is set, and stays: fits run side by side instead, one per core.
"""

from collections.abc import Iterator
from contextlib import contextmanager

# Loads its own BLAS: a library that is loaded later escapes the limit.
import scipy.linalg  # noqa: F401
from threadpoolctl import OpenBLASController, threadpool_limits  # type: ignore[import-untyped]


@contextmanager
def one_thread() -> Iterator[None]:
    """Let the numerical libraries use one thread for what runs inside."""
    # Otherwise the limit is silently ignored if another thread has set one before.
    OpenBLASController.clear_controlling_thread(force=True)
    threadpool_limits(1, user_api="blas")
    with threadpool_limits(1, user_api="openmp"):
        yield
