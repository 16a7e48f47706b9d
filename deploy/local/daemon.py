"""The process manager's process: supervisord, which exits when it is no longer needed.

Run as a script. The last command that uses the services stops them, but a killed command cannot. So
this process watches the locks: if no command holds the lease and the stack is not up, it stops
everything.
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
    """Run supervisord with ``supervisor.conf``; only one manager per home can run.

    Args:
        run: The home's directory of locks and state.
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
                # Keep the locks, so that commands wait until everything has stopped.
                threading.Event().wait()


def _is_up(run: Path) -> bool:
    with suppress(OSError, ValueError):
        return bool(json.loads((run / "local.json").read_text())["up"])
    return False


if __name__ == "__main__":
    main(Path(sys.argv[1]))
