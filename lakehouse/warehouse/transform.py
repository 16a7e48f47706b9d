"""Builds the warehouse: runs the dbt project in this process, at fixed snapshots of the lake."""

import logging
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catalog.connect import ensure_tables, load_table
from catalog.snapshots import current_snapshots
from catalog.tables import QUOTES
from lakehouse.connections.attachment import LAYERS
from lakehouse.connections.clickhouse_client import Role, attach_lake, connect
from lakehouse.errors import TransformError
from lakehouse.memory import models_at_once
from lakehouse.platform import Platform
from lakehouse.warehouse.builds import Build, Snapshots, last_build, record_build, wanted_build
from lakehouse.warehouse.lake_snapshots import record_lake_snapshots
from lakehouse.warehouse.runner import Invoke, log_path, run_dbt

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client
    from dbt.cli.main import dbtRunnerResult
    from pyiceberg.catalog import Catalog

log = logging.getLogger("weekahead")
MAX_FAILURES_SHOWN = 5
MAX_ROWS_SHOWN = 3
LEDGER = "source:ml+"
# Marts that depend only on the ledger.
LEDGER_ONLY = "tag:ledger"


@dataclass(frozen=True)
class TransformReport:
    """What a build did.

    Attributes:
        nodes: Number of dbt nodes (models, seeds, tests) by status.
        rows: Rows of each mart afterwards.
        full_refresh: Whether the incremental models were rebuilt from scratch.
        snapshots: The lake's snapshots that the build read.
        seconds: Duration.
        warnings: Tests with findings that need attention.
    """

    nodes: dict[str, int]
    rows: dict[str, int]
    full_refresh: bool
    snapshots: Snapshots
    seconds: float
    warnings: tuple[str, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """The report as a dictionary, for JSON."""
        return asdict(self)


def changed_sources(platform: Platform, snapshots: Snapshots | None = None) -> set[str]:
    """The lake's tables that differ from what the warehouse was last built from.

    All of them if it was never built, or if the dbt project has changed since.

    Args:
        platform: Lake and warehouse.
        snapshots: Snapshot ids by lake table; by default the current ones.

    Returns:
        Table names.

    Raises:
        ServiceError: ClickHouse does not answer.
        CatalogUnavailable: The catalog does not answer.
    """
    if snapshots is None:
        snapshots = current_snapshots(platform.lake)
    wanted = wanted_build(platform.settings, snapshots)
    last = last_build(platform.warehouse)
    if last is None or last.project != wanted.project:
        return set(snapshots)
    return {name for name, id_ in snapshots.items() if last.snapshots.get(name) != id_}


def is_of_another_version(platform: Platform) -> bool:
    """Whether the marts were built by models other than the present ones.

    Raises:
        ServiceError: ClickHouse does not answer.
    """
    last = last_build(platform.warehouse)
    return last is not None and last.models != wanted_build(platform.settings, {}).models


def transform(
    platform: Platform,
    *,
    select: str | None = None,
    full_refresh: bool = False,
    snapshots: Snapshots | None = None,
    databases: Mapping[str, str] | None = None,
    invoke: Invoke | None = None,
) -> TransformReport:
    """Build the models and run their tests.

    All models of a build see the lake at the same snapshots, even while an ingest runs. If a
    model's code has changed since the last build, the incremental models are rebuilt from scratch.

    Args:
        platform: Lake and warehouse.
        select: dbt's node selection; by default all nodes. ``LEDGER`` builds only the models that
            depend on the tables of forecasts; the warehouse then counts as up to date for these.
            Any other selection does not change what it counts as.
        full_refresh: Rebuild the incremental models from scratch.
        snapshots: Snapshot ids by lake table; by default the current ones.
        databases: Databases by layer, instead of ``staging``, ``intermediate`` and ``marts``. Such
            a scratch build does not touch the warehouse and runs as ``admin``.
        invoke: Calls dbt with arguments; by default dbt's own runner, in this process.

    Returns:
        What was built.

    Raises:
        TransformError: A model or test failed.
        ServiceError: ClickHouse does not answer.
        CatalogUnavailable: The catalog does not answer.
    """
    _check_lake(platform.lake)
    # Two builds at once would exchange each other's tables.
    with platform.alone("build"):
        if snapshots is None:
            snapshots = current_snapshots(platform.lake)
        return _build(platform, select, full_refresh, snapshots, databases, invoke)


def refresh(
    platform: Platform,
    *,
    full_refresh: bool = False,
    force: bool = False,
    invoke: Invoke | None = None,
) -> TransformReport | None:
    """Build what the lake's changes require.

    Waits for a build in progress and takes its result into account. If only the tables of forecasts
    have changed, only the models that depend on them are built.

    Args:
        platform: Lake and warehouse.
        full_refresh: Rebuild the incremental models from scratch.
        force: Build although nothing has changed.
        invoke: Calls dbt with arguments; by default dbt's own runner, in this process.

    Returns:
        What was built; None if the marts are up to date.

    Raises:
        TransformError: A model or test failed.
        ServiceError: ClickHouse does not answer.
        CatalogUnavailable: The catalog does not answer.
    """
    _check_lake(platform.lake)
    # Two builds at once would exchange each other's tables.
    with platform.alone("build"):
        snapshots = current_snapshots(platform.lake)
        changed = changed_sources(platform, snapshots)
        everything = force or full_refresh
        if not changed and not everything:
            return None
        only_ledger = not everything and all(name.startswith("ml.") for name in changed)
        select = LEDGER if only_ledger else None
        return _build(platform, select, full_refresh, snapshots, None, invoke)


def _check_lake(lake: "Catalog") -> None:
    # Fails with a clear message before the first ingest.
    load_table(lake, QUOTES)
    # A lake from an earlier version may lack tables and columns that the models read.
    ensure_tables(lake)


def _build(
    platform: Platform,
    select: str | None,
    full_refresh: bool,
    snapshots: Snapshots,
    databases: Mapping[str, str] | None,
    invoke: Invoke | None,
) -> TransformReport:
    started = time.monotonic()
    settings, lake = platform.settings, platform.lake
    # If ClickHouse cannot log in to the catalog, this pins each table at its current snapshot.
    attach_lake(settings)
    layers = {layer: (databases or {}).get(layer, layer) for layer in LAYERS}
    # The writer may write only to the warehouse's own databases.
    role: Role = "admin" if databases else "writer"
    wanted = wanted_build(settings, snapshots)
    scratch = connect(settings, "admin") if databases else nullcontext(platform.warehouse)
    with scratch as client:
        for database in (databases or {}).values():
            client.command(f"CREATE DATABASE IF NOT EXISTS `{database}`")
        _drop_orphans(client, layers)
        record_lake_snapshots(client, lake, layers["intermediate"])
        before = last_build(client, layers["intermediate"])
        full_refresh = full_refresh or (before is not None and before.models != wanted.models)
        exclude = None if full_refresh else _unchanged(select, before, wanted)
        threads = models_at_once(settings, _bars(lake, snapshots))
        result = run_dbt(
            settings, role, snapshots, databases, select, exclude, full_refresh, threads, invoke
        )
        nodes, warnings = _summary(client, result, log_path(settings.home))
        seconds = time.monotonic() - started
        if done := _covered(select, before, wanted):
            record_build(client, done, seconds, layers["intermediate"])
        rows = _rows(client, layers["marts"])
    return TransformReport(nodes, rows, full_refresh, snapshots, round(seconds, 3), warnings)


def _bars(lake: "Catalog", snapshots: Snapshots) -> int:
    """Bars in the lake, by the snapshot's own count."""
    quotes = snapshots.get(QUOTES.name)
    snapshot = load_table(lake, QUOTES).snapshot_by_id(quotes) if quotes else None
    return int((snapshot.summary["total-records"] if snapshot and snapshot.summary else 0) or 0)


def _unchanged(select: str | None, before: Build | None, wanted: Build) -> str | None:
    """The nodes that a full build can leave out because their inputs have not changed."""
    if select is not None or before is None or before.project != wanted.project:
        return None
    ledger = {name for name in wanted.snapshots if name.startswith("ml.")}
    if any(before.snapshots.get(name) != wanted.snapshots[name] for name in ledger):
        return None
    return LEDGER_ONLY


def _covered(select: str | None, before: Build | None, wanted: Build) -> Build | None:
    """The build to record after a build of this selection; None if nothing changes."""
    if select is None:
        return wanted
    if select != LEDGER or before is None or before.project != wanted.project:
        return None
    ledger = {name: id_ for name, id_ in wanted.snapshots.items() if name.startswith("ml.")}
    return Build(before.snapshots | ledger, before.project, before.models)


def _drop_orphans(client: "Client", layers: dict[str, str]) -> None:
    """Drop leftovers of a killed build; only dbt's temporary tables have such names."""
    orphans = client.query(
        "SELECT database, name FROM system.tables "
        "WHERE database IN {layers:Array(String)} AND name LIKE '%\\_\\_dbt\\_%'",
        parameters={"layers": list(layers.values())},
    ).result_rows
    for database, name in orphans:
        client.command(f"DROP TABLE IF EXISTS `{database}`.`{name}` SYNC")


def _rows(client: "Client", database: str) -> dict[str, int]:
    counts = client.query(
        "SELECT name, total_rows FROM system.tables "
        "WHERE database = {database:String} AND total_rows IS NOT NULL ORDER BY name",
        parameters={"database": database},
    ).result_rows
    return {name: int(rows) for name, rows in counts}


def _summary(
    client: "Client", result: "dbtRunnerResult", log_file: Path
) -> tuple[dict[str, int], tuple[str, ...]]:
    """Count the nodes by status, or raise with what failed."""
    where = f"Details are in {log_file}."
    finished = list(getattr(result.result, "results", None) or [])
    failed = [item for item in finished if item.status in ("error", "fail")]
    if failed:
        shown = "\n".join(f"  {_explain(client, item)}" for item in failed[:MAX_FAILURES_SHOWN])
        more = len(failed) - MAX_FAILURES_SHOWN
        rest = f"\n  … and {more} more" if more > 0 else ""
        raise TransformError(
            f"dbt: {len(failed)} of {len(finished)} nodes failed.\n{shown}{rest}\n{where}"
        )
    if not result.success:
        raise TransformError(f"dbt could not run: {result.exception or 'no reason given'}. {where}")
    warnings = tuple(_explain(client, item) for item in finished if item.status == "warn")
    return dict(Counter(str(item.status) for item in finished)), warnings


def _explain(client: "Client", item: Any) -> str:
    """Describe a node and its failure, for a test with its first rows."""
    message = " ".join(str(item.message or "").split())
    text = f"{item.node.resource_type} {item.node.name}: {message[:500]}"
    found = item.node.resource_type == "test" and item.status in ("fail", "warn")
    if not found:
        return text
    query = f"SELECT * FROM (\n{item.node.compiled_code}\n) LIMIT {MAX_ROWS_SHOWN}"  # noqa: S608
    result = client.query(query)
    rows = (dict(zip(result.column_names, row, strict=True)) for row in result.result_rows)
    shown = (", ".join(f"{name}={value}" for name, value in row.items()) for row in rows)
    return "\n    ".join([text, *shown])
