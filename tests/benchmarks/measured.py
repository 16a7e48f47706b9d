"""A run of ``weekahead``, watched from outside: seconds, CPU and memory of each stage."""

import os
import re
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

# The last line of progress that each stage prints.
STAGES = {
    "services and ingest": r"[^ ]+: [\d,]+ bars",
    "transform": r"(model|test) |transform: nothing",
    "train": r"train: |gate: ",
    "predict": r"predict: ",
}
REST = "score and end"


@dataclass
class Sample:
    """The state at one moment: seconds since the start, CPU seconds, bytes by program."""

    at: float
    cpu: float
    memory: dict[str, int]

    @property
    def total(self) -> int:
        """Bytes of all programs."""
        return sum(self.memory.values())


@dataclass
class Measured:
    """What a command took.

    Attributes:
        seconds: From start to end.
        samples: Twice a second.
        lines: Progress, with the second it was printed at.
        code: How it ended.
    """

    seconds: float = 0.0
    samples: list[Sample] = field(default_factory=list)
    lines: list[tuple[float, str]] = field(default_factory=list)
    code: int | None = None

    @property
    def peak(self) -> float:
        """Most memory of all processes together, in GiB; shared pages count once."""
        return max(sample.total for sample in self.samples) / 2**30

    @property
    def cpu(self) -> float:
        """CPU seconds of all processes."""
        return self.samples[-1].cpu

    def table(self) -> str:
        """A line for each stage: seconds, CPU seconds, peak of memory and whose it was."""
        told = []
        before = 0.0
        for stage, pattern in STAGES.items():
            ends = [at for at, text in self.lines if re.match(pattern, text) and at >= before]
            if stage == "transform" and ends:
                trained = [at for at, text in self.lines if re.match(STAGES["train"], text)]
                ends = [at for at in ends if not trained or at <= trained[0]]
            if ends:
                told.append(self._line(stage, before, max(ends)))
                before = max(ends)
        told.append(self._line(REST, before, self.seconds))
        return "\n".join(told)

    def _line(self, stage: str, first: float, last: float) -> str:
        inside = [sample for sample in self.samples if first <= sample.at <= last]
        if not inside:
            return f"  {stage:<20} {last - first:7.1f} s"
        top = max(inside, key=lambda sample: sample.total)
        whose = ", ".join(
            f"{name} {size / 2**30:.2f}"
            for name, size in sorted(top.memory.items(), key=lambda item: -item[1])[:4]
        )
        return (
            f"  {stage:<20} {last - first:7.1f} s {inside[-1].cpu - inside[0].cpu:7.1f} s of CPU "
            f"{top.total / 2**30:6.2f} GiB ({whose})"
        )


def measure(command: Sequence[str | Path], home: Path, **variables: str) -> Measured:
    """Run a command on a home to its end, watching all processes of that home."""
    found = Measured()
    process = subprocess.Popen(
        command,
        env=os.environ | {"WEEKAHEAD_HOME": str(home)} | variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    started = time.monotonic()
    spent: dict[int, float] = {}

    def watch() -> None:
        while process.poll() is None:
            memory = _memory(home, spent)
            at = time.monotonic() - started
            found.samples.append(Sample(at, sum(spent.values()), memory))
            time.sleep(0.5)

    watcher = threading.Thread(target=watch)
    watcher.start()
    assert process.stderr is not None
    for line in process.stderr:
        text = re.sub(r"^\s*([\d.]+s )?", "", line.rstrip())
        found.lines.append((time.monotonic() - started, text))
    found.code = process.wait()
    found.seconds = time.monotonic() - started
    watcher.join()
    return found


def _memory(home: Path, spent: dict[int, float]) -> dict[str, int]:
    memory: dict[str, int] = {}
    for process in psutil.process_iter():
        try:
            words = " ".join(process.cmdline())
            if process.environ().get("WEEKAHEAD_HOME") != str(home) and str(home) not in words:
                continue
            name = next((name for part, name in PROGRAMS.items() if part in words), "other")
            # Proportional: pages that processes share are counted once.
            size = process.memory_full_info().pss
            spent[process.pid] = sum(process.cpu_times()[:2])
            memory[name] = memory.get(name, 0) + size
        except psutil.Error:
            continue
    return memory


PROGRAMS = {
    "deploy.chserver": "engine",
    "/weed": "store",
    "prefect_server": "Prefect",
    "weekahead run": "command",
    "generated.py": "command",
}
