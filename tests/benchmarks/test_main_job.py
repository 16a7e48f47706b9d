"""The main job on the sample: seconds of the first and second run, share of each stage, memory.

The times are printed, not asserted: they belong to the machine. What is asserted is that the second
run, which has nothing to do, costs a fraction of the first, and that it fits a machine of 4 GB.
"""

from pathlib import Path

from tests.benchmarks.control_group import control_group
from tests.benchmarks.measured import measure
from tests.homes import WEEKAHEAD

MEMORY_LIMIT_GB = 4.0


def test_first_and_second_run(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with control_group(MEMORY_LIMIT_GB) as group:
        command = [*group.prefix, WEEKAHEAD, "run"]
        first, second = (measure(command, home) for _ in range(2))
        assert group.killed == 0
    for name, run in (("first", first), ("second", second)):
        assert run.code == 0, run.lines[-20:]
        print(f"\n{name} run {run.seconds:.1f} s, {run.peak:.2f} GiB\n{run.table()}")
    assert second.seconds < 0.6 * first.seconds
