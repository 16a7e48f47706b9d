"""A whole exchange through ``weekahead run``, as users run it: default settings, 8 GB of memory.

The first run lands and learns everything, the second one a day more, which may cost little more
than on an exchange that is a tenth as old. A small exchange by default;
``WEEKAHEAD_BENCH_FULL=1`` takes 5,000 symbols over 2,500 days (12.5 M bars).
"""

import os
import sys
from pathlib import Path

import pytest

from tests.benchmarks.control_group import ControlGroup, control_group
from tests.benchmarks.measured import Measured, measure

FULL = os.environ.get("WEEKAHEAD_BENCH_FULL") == "1"
SYMBOLS, DAYS = (5000, 2500) if FULL else (100, 750)
PROGRAM = [sys.executable, "-m", "tests.benchmarks.generated"]
MEMORY_GB = 8
# The targets are for two cores that have nothing else to do.
FIRST_CPU_SECONDS, NEXT_CPU_SECONDS = 2 * 900, 2 * 90
YOUNG, GROWTH = DAYS // 10, 1.3


def run(group: ControlGroup, home: Path, days: int, *arguments: str) -> Measured:
    """One command on an exchange that has been open for a number of days."""
    found = measure(
        [*group.prefix, *PROGRAM, *arguments],
        home,
        GENERATED_SYMBOLS=str(SYMBOLS),
        GENERATED_DAYS=str(days),
        PYTHONPATH=str(Path(__file__).parents[2]),
    )
    print(
        f"\n{' '.join(arguments)}, {SYMBOLS * days:,} bars: {found.seconds:.0f} s, "
        f"{found.cpu:.0f} s of CPU, {found.peak:.2f} GiB; load {os.getloadavg()[0]:.1f}\n"
        f"{found.table()}"
    )
    assert found.code == 0, "\n".join(text for _, text in found.lines[-20:])
    return found


@pytest.mark.timeout(3600)
def test_first_day_and_next(tmp_path: Path) -> None:
    home, page = tmp_path / "home", str(tmp_path / "report.html")
    with control_group(MEMORY_GB) as group:
        first = run(group, home, DAYS, "run", "--source", "generated")
        run(group, home, DAYS, "report", "--output", page)
        following = run(group, home, DAYS + 1, "run", "--source", "generated")
        run(group, tmp_path / "young", YOUNG, "run", "--source", "generated")
        young = run(group, tmp_path / "young", YOUNG + 1, "run", "--source", "generated")
        assert group.killed == 0
    assert following.cpu < GROWTH * young.cpu
    assert first.cpu < FIRST_CPU_SECONDS
    assert following.cpu < NEXT_CPU_SECONDS
