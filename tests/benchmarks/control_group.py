"""A machine with less memory, as far as programs can tell: a control group of this one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path("/sys/fs/cgroup")
# Moves the shell into the group before it becomes the program.
ENTER = 'echo $$ >"$0/cgroup.procs" && exec "$@"'


@dataclass(frozen=True)
class ControlGroup:
    """A group with a limit of memory.

    Attributes:
        path: Its folder.
        events: Its file that counts processes that were killed for memory.
    """

    path: Path
    events: str

    @property
    def prefix(self) -> list[str]:
        """What to put before a command, so that it and all it starts are in the group."""
        return ["sh", "-c", ENTER, str(self.path)]

    @property
    def killed(self) -> int:
        """How many processes the kernel killed for want of memory."""
        lines = (self.path / self.events).read_text().splitlines()
        return int(dict(line.split() for line in lines)["oom_kill"])


@contextmanager
def control_group(gigabytes: float) -> Iterator[ControlGroup]:
    """A control group, of either version, that is removed at the end; skips without the right.

    Args:
        gigabytes: All memory of its processes, with the files that they keep in memory, in 10⁹
            bytes; no swap.
    """
    second = (ROOT / "cgroup.controllers").exists()
    folder = (ROOT if second else ROOT / "memory") / f"weekahead-{os.getpid()}"
    limit, events = ("max", "events") if second else ("limit_in_bytes", "oom_control")
    try:
        folder.mkdir()
        (folder / f"memory.{limit}").write_text(str(int(gigabytes * 1e9)))
        if second:
            (folder / "memory.swap.max").write_text("0")
    except OSError as error:
        pytest.skip(f"a control group cannot be made here: {error}")
    try:
        yield ControlGroup(folder, f"memory.{events}")
    finally:
        folder.rmdir()
