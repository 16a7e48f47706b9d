"""Memory budget of each part: shares of the memory of the machine or its control group.

The rule, in one place:
- all parts together: ``services.memory_gb``; by default three quarters of the memory, at most 7
  GiB, which is enough for 5,000 symbols over ten years;
- of that, 1 GiB (at most a third) is for the programs themselves: Python, Prefect, Superset;
- of the rest, the engine gets 55 %, unless ``clickhouse.max_memory_gb`` is set, training 30 %, and
  the store 15 %.
"""

from dataclasses import dataclass
from pathlib import Path

import psutil

from lakehouse.settings import Settings

GIB = 2**30
SHARE = 0.75
ENOUGH = 7 * GIB
PROGRAMS = GIB
ENGINE, TRAINING, STORE = 0.55, 0.30, 0.15
# Minimum that each part needs to work; on a machine that is too small, parts exceed their share.
LEAST_ENGINE, LEAST_TRAINING, LEAST_STORE = GIB // 2, GIB // 4, GIB // 4
CGROUPS = Path("/sys/fs/cgroup")
AT_ONCE = 2
# What two large models at once need for each bar of the lake, with sorts on the disk.
BYTES_PER_BAR = 400


@dataclass(frozen=True)
class Shares:
    """Memory budget of each part, in bytes.

    Attributes:
        total: All parts together.
        engine: Queries of the embedded ClickHouse.
        training: Data and fits of a training run.
        store: Garbage-collected memory of the object store.
    """

    total: int
    engine: int
    training: int
    store: int


def shares(settings: Settings) -> Shares:
    """The budget on this machine, or of ``services.memory_gb`` if set."""
    wanted = settings.services.memory_gb
    total = int(wanted * GIB) if wanted else min(int(SHARE * machine_memory()), ENOUGH)
    rest = total - min(PROGRAMS, total // 3)
    engine = settings.clickhouse.max_memory_gb
    return Shares(
        total=total,
        engine=int(engine * GIB) if engine else max(int(ENGINE * rest), LEAST_ENGINE),
        training=max(int(TRAINING * rest), LEAST_TRAINING),
        store=max(int(STORE * rest), LEAST_STORE),
    )


def models_at_once(settings: Settings, bars: int) -> int:
    """How many dbt models to build at the same time: one where two large ones might not fit.

    Args:
        settings: ``clickhouse.threads``, which decides if set, and the budget.
        bars: Bars in the lake.

    Returns:
        The number of models.
    """
    if settings.clickhouse.threads:
        return settings.clickhouse.threads
    return 1 if bars * BYTES_PER_BAR > shares(settings).engine else AT_ONCE


def machine_memory(cgroups: Path = CGROUPS, own: Path = Path("/proc/self/cgroup")) -> int:
    """Memory available to this process.

    Args:
        cgroups: Mount point of the control groups; a parameter for tests.
        own: File that names this process' control groups.

    Returns:
        Bytes: the machine's memory, or the smallest limit of the control groups.
    """
    limits = [psutil.virtual_memory().total]
    for path in _limit_files(cgroups, own):
        try:
            text = path.read_text().strip()
        except OSError:
            continue  # The group does not exist here, or has no limit.
        if text.isdigit():
            limits.append(int(text))
    return min(limits)


def _limit_files(cgroups: Path, own: Path) -> list[Path]:
    """Limit files of this process' control groups and their parents, for both versions.

    In a container the group's name may not exist; the root is then the group.
    """
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return []
    files = []
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if not controllers:
            root, limit = cgroups, "memory.max"
        elif "memory" in controllers.split(","):
            root, limit = cgroups / "memory", "memory.limit_in_bytes"
        else:
            continue
        group = root / name.lstrip("/")
        files += [place / limit for place in (group, *group.parents) if place.is_relative_to(root)]
    return files
