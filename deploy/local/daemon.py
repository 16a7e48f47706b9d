"""The process manager's process: supervisord, which exits when it is no longer needed.

Run as a script. The last command that uses the services stops them, but a killed command cannot. So
this process watches the locks: if no command holds the lease and the stack is not up, it stops
everything. When it is killed itself, the kernel terminates the services (see ``launch.py``), and
its parent process ends whatever they had started or will not stop by itself.
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

import psutil

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
        manager = os.fork()
        if not manager:
            threading.Thread(target=_end_when_idle, args=(run,), daemon=True).start()
            supervise(["-c", str(run / "supervisor.conf")])
            return
        # This process keeps the lock, so that no manager starts before everything has ended.
        _, status = os.waitpid(manager, 0)
        if os.WIFSIGNALED(status):
            _end_the_rest()


def _end_the_rest() -> None:
    # Imported now, because hours of waiting shall not cost the memory of all services' modules.
    from deploy.local.manager import MARK, sweep, with_mark

    mark = os.environ[MARK]
    ending = [process for process in with_mark(mark) if process.pid != os.getpid()]
    # The kernel has asked most of them already; to some, a second request means "at once".
    psutil.wait_procs(ending, timeout=INTERVAL_SECONDS)
    sweep(mark)


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
