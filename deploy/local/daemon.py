"""The process manager's process: supervisord, and an end when nothing needs it any more.

Run as a script. A command stops its services when it is the last one to use them; a command that
was killed cannot. So this process looks at the locks itself: when no command holds the lease and
the stack is not up, it stops everything.
"""

import fcntl
import json
import os
import signal
import sys
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path

INTERVAL_SECONDS = 5.0


def main(run: Path) -> None:
    """Manage the services that ``supervisor.conf`` describes, one manager at a time.

    Args:
        run: The home's folder of locks and state.
    """
    from supervisor.supervisord import main as supervise

    with (run / "manager.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit("Another process manager of this home is running.")
        threading.Thread(target=_end_when_idle, args=(run,), daemon=True).start()
        supervise(["-c", str(run / "supervisor.conf")])


def _end_when_idle(run: Path) -> None:
    while True:
        time.sleep(INTERVAL_SECONDS)
        with ExitStack() as locks, suppress(BlockingIOError):
            for name in ("start.lock", "lease.lock"):
                lock = locks.enter_context((run / name).open("a"))
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not _is_up(run):
                os.kill(os.getpid(), signal.SIGTERM)
                # Commands wait at the locks until everything has stopped.
                threading.Event().wait()


def _is_up(run: Path) -> bool:
    with suppress(OSError, ValueError):
        return bool(json.loads((run / "local.json").read_text())["up"])
    return False


if __name__ == "__main__":
    main(Path(sys.argv[1]))
