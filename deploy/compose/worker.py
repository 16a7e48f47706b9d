"""Runs Prefect's worker and stops it only between runs: ``worker.py COMMAND...``.

A terminated worker normally kills its runs. This script forwards the signal only after the last run
has ended; the container's grace period is the limit.
"""

import signal
import subprocess
import sys
import time

import psutil

# A run that has just been accepted has no process yet.
IDLE_SECONDS = 3


def main(command: list[str]) -> int:
    """Run the worker until it ends, or until it has been signalled and is idle."""
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: stopping.append(received))
    worker = subprocess.Popen(command)
    idle = 0
    while worker.poll() is None:
        time.sleep(1)
        idle = 0 if busy(worker.pid) else idle + 1
        if stopping and idle >= IDLE_SECONDS:
            worker.terminate()
            worker.wait()
    return 0 if stopping else worker.returncode


def busy(pid: int) -> bool:
    """Whether the worker has runs, each of which is a child process."""
    try:
        return bool(psutil.Process(pid).children())
    except psutil.NoSuchProcess:
        return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
