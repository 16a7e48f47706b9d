"""Build the warehouse: run the dbt project in this process, at fixed snapshots of the lake."""

import fcntl
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catalog.connect import open_catalog
from catalog.snapshots import current_snapshots
from lakehouse.environment import temporary_environment
from lakehouse.errors import TransformError
from lakehouse.settings import Settings
from lakehouse.warehouse.client import Role, account, connect, server_address
from lakehouse.warehouse.setup import LAYERS, prepare
from lakehouse.warehouse.state import Build, Snapshots, last_build, record_build, wanted_build

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client
    from dbt.cli.main import dbtRunnerResult

Progress = Callable[[str], None]
MAX_FAILURES_SHOWN = 5
QUIET_STATUSES = ("pass", "success", "no-op")
MAX_ROWS_SHOWN = 3
LEDGER = "source:ml+"


@dataclass(frozen=True)
class TransformReport:
    """What a build did.

    Attributes:
        nodes: Number of dbt nodes (models, seeds, tests) by status.
        rows: Rows of each mart afterwards.
        full_refresh: Whether the incremental models were built anew.
        snapshots: The lake's snapshots that the build read.
        seconds: Duration in seconds.
        warnings: Tests that found something worth a look.
    """

    nodes: dict[str, int]
    rows: dict[str, int]
    full_refresh: bool
    snapshots: Snapshots
    seconds: float
    warnings: tuple[str, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values, for JSON."""
        return asdict(self)


def changed_sources(settings: Settings, snapshots: Snapshots | None = None) -> set[str]:
    """The lake's tables that differ from what the warehouse was last built from.

    All of them when it was never built, or when the dbt project has changed since.

    Args:
        settings: Where everything is.
        snapshots: Snapshot ids by lake table; the current ones by default.

    Raises:
        ServiceError: ClickHouse does not answer.
        CatalogUnavailable: The catalog does not answer.
    """
    if snapshots is None:
        snapshots = current_snapshots(open_catalog(settings.catalog, settings.s3))
    wanted = wanted_build(settings, snapshots)
    with connect(settings) as client:
        last = last_build(client)
    if last is None or last.project != wanted.project:
        return set(snapshots)
    return {name for name, id_ in snapshots.items() if last.snapshots.get(name) != id_}


def transform(
    settings: Settings,
    *,
    select: str | None = None,
    full_refresh: bool = False,
    snapshots: Snapshots | None = None,
    databases: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> TransformReport:
    """Build the models and run their tests.

    All models of a build see the lake at the same snapshots, whoever ingests meanwhile. When a
    model's code changed since the last build, the incremental models are built anew.

    Args:
        settings: Where everything is.
        select: dbt's node selection; all nodes by default. ``LEDGER`` builds what follows from
            the tables that models write, and nothing else; the warehouse then counts as up to
            date for these. After any other selection it counts as it did before.
        full_refresh: Build the incremental models anew.
        snapshots: Snapshot ids by lake table; the current ones by default.
        databases: Where to build instead of ``staging``, ``intermediate`` and ``marts``: names by
            layer. Such a scratch build leaves the warehouse alone and runs as ``admin``.
        progress: Told about each finished node.

    Raises:
        TransformError: A model or test failed, or another build is under way.
        ServiceError: ClickHouse does not answer.
        CatalogUnavailable: The catalog does not answer.
    """
    started = time.monotonic()
    if snapshots is None:
        snapshots = current_snapshots(open_catalog(settings.catalog, settings.s3))
    prepare(settings)
    layers = {layer: (databases or {}).get(layer, layer) for layer in LAYERS}
    # The writer's rights end at the warehouse's own databases.
    role: Role = "admin" if databases else "writer"
    wanted = wanted_build(settings, snapshots)
    with _only_build(settings), connect(settings, role) as client:
        for database in (databases or {}).values():
            client.command(f"CREATE DATABASE IF NOT EXISTS `{database}`")
        _drop_orphans(client, layers)
        before = last_build(client, layers["intermediate"])
        full_refresh = full_refresh or (before is not None and before.models != wanted.models)
        result = _invoke(settings, role, snapshots, databases, select, full_refresh, progress)
        nodes, warnings = _summary(client, result, settings)
        seconds = time.monotonic() - started
        if done := _covered(select, before, wanted):
            record_build(client, done, seconds, layers["intermediate"])
        rows = _rows(client, layers["marts"])
    return TransformReport(nodes, rows, full_refresh, snapshots, round(seconds, 3), warnings)


def _covered(select: str | None, before: Build | None, wanted: Build) -> Build | None:
    """What the warehouse is built from after a build of this selection; None if unchanged."""
    if select is None:
        return wanted
    if select != LEDGER or before is None or before.project != wanted.project:
        return None
    ledger = {name: id_ for name, id_ in wanted.snapshots.items() if name.startswith("ml.")}
    return Build(before.snapshots | ledger, before.project, before.models)


@contextmanager
def _only_build(settings: Settings) -> Iterator[None]:
    """Two builds at once would exchange each other's tables."""
    path = _dbt_state(settings) / "build.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TransformError(
                f"Another build is under way (it holds {path}). Wait for it to end, then try again."
            ) from None
        yield


def _drop_orphans(client: "Client", layers: dict[str, str]) -> None:
    """Drop what a killed build left behind; only dbt's temporary tables carry such names."""
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


def _invoke(
    settings: Settings,
    role: Role,
    snapshots: Snapshots,
    databases: Mapping[str, str] | None,
    select: str | None,
    full_refresh: bool,
    progress: Progress | None,
) -> "dbtRunnerResult":
    from dbt.cli.main import dbtRunner

    arguments = ["build", "--exclude-resource-type", "unit_test", *common_arguments(settings)]
    if select:
        arguments += ["--select", select]
    if full_refresh:
        arguments += ["--full-refresh"]
    if databases:
        # Other names need other parsed files, or each kind of build would undo the other's cache.
        scratch = _dbt_state(settings) / "scratch"
        arguments += ["--target-path", str(scratch)]
        arguments += ["--vars", json.dumps({"databases": dict(databases)})]
    with dbt_environment(settings, snapshots, role):
        return dbtRunner(callbacks=[_listener(progress)]).invoke(arguments)


def common_arguments(settings: Settings) -> list[str]:
    """Arguments of every dbt call: where things are, and nothing on the console."""
    state = _dbt_state(settings)
    return [
        "--project-dir", str(settings.dbt_dir),
        "--profiles-dir", str(settings.dbt_dir),
        "--target-path", str(state / "target"),
        "--log-path", str(log_path(settings).parent),
        "--log-level", "none",
        "--log-level-file", "info",
        "--threads", str(settings.clickhouse.threads),
    ]  # fmt: skip


@contextmanager
def dbt_environment(
    settings: Settings, snapshots: Snapshots, role: Role = "writer"
) -> Iterator[None]:
    """The variables that the project's profile reads; the password is never an argument."""
    address = server_address(settings)
    user, password = account(settings.clickhouse, role)
    secure = address.scheme == "https"
    wanted = {
        "WEEKAHEAD_DBT_HOST": address.hostname or "",
        "WEEKAHEAD_DBT_PORT": str(address.port or (8443 if secure else 8123)),
        "WEEKAHEAD_DBT_SECURE": str(secure),
        "WEEKAHEAD_DBT_USER": user,
        "DBT_ENV_SECRET_WEEKAHEAD_PASSWORD": password.get_secret_value(),
        "WEEKAHEAD_JUMP_LIMIT": str(settings.ingest.jump_limit),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }
    for table, id_ in snapshots.items():
        # Empty means: as it is now. It also hides a variable of the caller's own.
        wanted[f"WEEKAHEAD_SNAPSHOT_{table.replace('.', '_').upper()}"] = str(id_ or "")
    with temporary_environment(wanted):
        yield


def log_path(settings: Settings) -> Path:
    """Where dbt writes its log."""
    return settings.home.absolute() / "logs" / "dbt.log"


def _dbt_state(settings: Settings) -> Path:
    return settings.home.absolute() / "dbt"


def _listener(progress: Progress | None) -> Callable[[Any], None]:
    def listen(event: Any) -> None:
        if progress and event.info.name == "NodeFinished":
            node = event.data.node_info
            # Every model as it is done, but of tests and seeds only what needs a look.
            if node.resource_type == "model" or node.node_status not in QUIET_STATUSES:
                progress(f"{node.resource_type} {node.node_name}: {node.node_status}")

    return listen


def _summary(
    client: "Client", result: "dbtRunnerResult", settings: Settings
) -> tuple[dict[str, int], tuple[str, ...]]:
    """Count the nodes by status, or raise with what failed."""
    where = f"The whole story is in {log_path(settings)}."
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
    """Name a node, what was wrong, and for a test the first rows that it found."""
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
