"""Records what the warehouse was last built from: the lake's snapshots and the dbt project."""

import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.settings import Settings

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

Snapshots = dict[str, int | None]

BUILDS = "`{database}`.completed_builds"
# Files that do not change what a model computes.
DATA_FOLDERS = ("seeds",)
TEST_FOLDERS = ("tests",)


@dataclass(frozen=True)
class Build:
    """A complete build.

    Attributes:
        snapshots: Snapshot id of every lake table it read.
        project: Hash of the whole dbt project and of the settings that it uses.
        models: The same without seeds and tests; a change requires a full refresh.
    """

    snapshots: Snapshots
    project: str
    models: str


def wanted_build(settings: Settings, snapshots: Snapshots) -> Build:
    """The build that snapshots and the present dbt project require.

    Args:
        settings: Names the dbt project; gives the settings that it uses.
        snapshots: Snapshot ids by lake table.

    Returns:
        The build, not yet recorded.
    """
    project = settings.dbt_dir
    shared = f"jump_limit={settings.ingest.jump_limit}"
    return Build(
        snapshots,
        _hash(project, skip=(), extra=f"{shared}, cost_bps={settings.forecast.cost_bps}"),
        _hash(project, skip=DATA_FOLDERS + TEST_FOLDERS, extra=shared),
    )


def last_build(client: "Client", database: str = "intermediate") -> Build | None:
    """The last complete build in a database.

    Args:
        client: The warehouse.
        database: Database that holds the record.

    Returns:
        The build; None before the first.
    """
    table = BUILDS.format(database=database)
    if not int(str(client.command(f"EXISTS TABLE {table}"))):
        return None
    rows = client.query(
        f"SELECT snapshots, project, models FROM {table} ORDER BY completed_at DESC LIMIT 1"  # noqa: S608
    ).result_rows
    if not rows:
        return None
    snapshots, project, models = rows[0]
    return Build(json.loads(snapshots), project, models)


def record_build(
    client: "Client", build: Build, seconds: float, database: str = "intermediate"
) -> None:
    """Record a complete build.

    Args:
        client: The warehouse.
        build: What was built.
        seconds: Duration.
        database: Database that holds the record; its table is created if missing.
    """
    table = BUILDS.format(database=database)
    client.command(
        f"CREATE TABLE IF NOT EXISTS {table} (completed_at DateTime64(6, 'UTC') DEFAULT now64(6), "
        "snapshots String, project String, models String, seconds Float64) "
        "ENGINE = MergeTree ORDER BY completed_at "
        "COMMENT 'Complete dbt builds: what each was made from.'"
    )
    client.insert(
        table,
        [[json.dumps(build.snapshots, sort_keys=True), build.project, build.models, seconds]],
        column_names=["snapshots", "project", "models", "seconds"],
    )


def _hash(project: Path, *, skip: tuple[str, ...], extra: str) -> str:
    digest = sha256(extra.encode())
    for path in sorted(project.rglob("*")):
        relative = path.relative_to(project)
        if path.suffix not in (".sql", ".yml", ".csv") or relative.parts[0] in skip:
            continue
        digest.update(str(relative).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
