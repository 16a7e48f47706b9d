"""Lock files; the kernel releases them when a process dies for any reason."""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO


@contextmanager
def exclusive(path: Path, *, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold an exclusive lock on a file.

    Args:
        path: The lock file; created if missing.
        waiting: Called once if another process holds the lock.

    Yields:
        When the lock is held.

    Raises:
        OSError: The file cannot be opened.
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
    """Whether no other process shares the lock; this process keeps its shared lock."""
    with suppress(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(lock, fcntl.LOCK_SH)
        return True
    # A failed conversion may have dropped the shared lock.
    fcntl.flock(lock, fcntl.LOCK_SH)
    return False
