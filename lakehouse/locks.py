"""Lock files: the kernel frees them when a process dies, however it dies."""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO


@contextmanager
def exclusive(path: Path, *, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold a lock file alone.

    Args:
        path: The lock file.
        waiting: Called once when another process holds the lock.
    """
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting:
                waiting()
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def only_holder(lock: IO[str]) -> bool:
    """Whether no other process shares the lock; it stays shared."""
    with suppress(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(lock, fcntl.LOCK_SH)
        return True
    # A failed conversion may have dropped the shared lock.
    fcntl.flock(lock, fcntl.LOCK_SH)
    return False
