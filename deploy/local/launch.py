"""Becomes a service of the local stack: a script that uses only the standard library.

The process manager starts this script, so that its own configuration contains no secrets: arguments
and environment come from a file of mode 0600. The kernel terminates the service if the manager dies
for any reason, so that a killed stack leaves nothing behind.
"""

import ctypes
import json
import os
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1


def main(description: Path) -> None:
    """Replace this process by the one that the file describes."""
    spec = json.loads(description.read_text())
    manager = os.getppid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != manager:
        sys.exit("The process manager is gone.")
    os.chdir(spec["directory"])
    arguments = spec["arguments"]
    os.execvpe(arguments[0], arguments, spec["inherited"] | spec["environment"])  # noqa: S606


if __name__ == "__main__":
    main(Path(sys.argv[1]))
