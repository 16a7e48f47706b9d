"""The main job on the sample: seconds of the first and second run, share of each stage, memory.

The times are printed, not asserted: they belong to the machine. What is asserted is that the second
run, which has nothing to do, costs a fraction of the first, and the memory of all processes.
"""

import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil

WEEKAHEAD = Path(sys.executable).parent / "weekahead"
MEMORY_LIMIT_GB = 4.0
# The last line of progress that each stage prints.
STAGES = {
    "services and ingest": r"[A-Z]+: [\d,]+ bars",
    "transform": r"(model|test) |transform: nothing",
    "train": r"train: |gate: ",
    "predict": r"predict: ",
}


def measured_run(home: Path) -> tuple[float, float, list[tuple[float, str]]]:
    """Seconds, peak memory of all processes in GiB, and the progress lines with their seconds."""
    peak = 0.0
    command = subprocess.Popen(
        [WEEKAHEAD, "run"],
        env=os.environ | {"WEEKAHEAD_HOME": str(home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )

    def watch() -> None:
        nonlocal peak
        while command.poll() is None:
            total = 0
            for process in psutil.process_iter():
                try:
                    if process.environ().get("WEEKAHEAD_HOME") == str(home):
                        # Proportional: pages that processes share are counted once.
                        total += process.memory_full_info().pss
                except psutil.Error:
                    continue
            peak = max(peak, total / 2**30)
            time.sleep(0.5)

    watcher = threading.Thread(target=watch)
    started = time.monotonic()
    watcher.start()
    assert command.stderr is not None
    told = (re.match(r"\s*([\d.]+)s (.*)", line) for line in command.stderr)
    lines = [(float(found[1]), found[2]) for found in told if found]
    assert command.wait() == 0
    seconds = time.monotonic() - started
    watcher.join()
    return seconds, peak, lines


def shares(seconds: float, lines: list[tuple[float, str]]) -> str:
    """When each stage said its last word, and how much of the run it took."""
    told = []
    before = 0.0
    for stage, pattern in STAGES.items():
        ends = [at for at, text in lines if re.match(pattern, text) and at >= before]
        if stage == "transform" and ends:
            trained = [at for at, text in lines if re.match(STAGES["train"], text)]
            ends = [at for at in ends if not trained or at <= trained[0]]
        if ends:
            told.append(
                f"{stage} {max(ends) - before:.1f} s ({(max(ends) - before) / seconds:.0%})"
            )
            before = max(ends)
    told.append(f"score and end {seconds - before:.1f} s ({(seconds - before) / seconds:.0%})")
    return ", ".join(told)


def test_first_and_second_run(tmp_path: Path) -> None:
    home = tmp_path / "home"
    first, first_peak, first_lines = measured_run(home)
    second, second_peak, second_lines = measured_run(home)
    print(f"\nfirst run  {first:5.1f} s, {first_peak:.2f} GiB: {shares(first, first_lines)}")
    print(f"second run {second:5.1f} s, {second_peak:.2f} GiB: {shares(second, second_lines)}")
    assert second < 0.6 * first
    assert max(first_peak, second_peak) < MEMORY_LIMIT_GB
