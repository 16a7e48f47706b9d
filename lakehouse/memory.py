"""How much memory each part may use: shares of what the machine or its control group has.

The rule, in one place:

- all parts together: ``services.memory_gb``; by default three quarters of what there is, and no
  more than 7 GiB, which is enough for 5,000 symbols over ten years;
- of that, 1 GiB (at most a third) is for the programs themselves: Python, Prefect, Superset;
- of the rest, 55 % is the engine's, unless ``clickhouse.max_memory_gb`` says otherwise, 30 % is for
  training, and 15 % for the store.
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
# Below these a part does not start or crawls; a machine that is too small is used beyond its share.
LEAST_ENGINE, LEAST_TRAINING, LEAST_STORE = GIB // 2, GIB // 4, GIB // 4
CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Shares:
    """What each part may use, in bytes.

    Attributes:
        total: All parts together.
        engine: Queries of the embedded ClickHouse.
        training: Data and fits of a training.
        store: The store's garbage-collected memory.
    """

    total: int
    engine: int
    training: int
    store: int


def shares(settings: Settings) -> Shares:
    """The shares of this machine, or of what ``services.memory_gb`` names instead."""
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


def machine_memory(cgroups: Path = CGROUPS, own: Path = Path("/proc/self/cgroup")) -> int:
    """Memory of the machine in bytes, or less where a control group allows this process less."""
    limits = [psutil.virtual_memory().total]
    for path in _limit_files(cgroups, own):
        try:
            text = path.read_text().strip()
        except OSError:
            continue  # There is no such group here, or none with a limit.
        if text.isdigit():
            limits.append(int(text))
    return min(limits)


def _limit_files(cgroups: Path, own: Path) -> list[Path]:
    """Files with the limits of this process' groups and of those around them, both versions.

    In a container the group's own name may lead nowhere; its root then is the group.
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
