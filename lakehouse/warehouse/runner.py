"""Runs dbt in this process: arguments, environment, and progress."""

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakehouse.connections.clickhouse_client import Role, account, server_address
from lakehouse.environment import temporary_environment
from lakehouse.settings import Settings
from lakehouse.warehouse.builds import Snapshots

if TYPE_CHECKING:
    from dbt.cli.main import dbtRunnerResult

Invoke = Callable[[list[str]], "dbtRunnerResult"]
log = logging.getLogger("weekahead")
QUIET_STATUSES = ("pass", "success", "no-op")


def run_dbt(
    settings: Settings,
    role: Role,
    snapshots: Snapshots,
    databases: Mapping[str, str] | None,
    select: str | None,
    exclude: str | None,
    full_refresh: bool,
    threads: int,
    invoke: Invoke | None,
) -> "dbtRunnerResult":
    """Run ``dbt build`` in this process.

    Args:
        settings: The dbt project and the address of ClickHouse.
        role: Account to connect with.
        snapshots: Snapshot ids by lake table to read.
        databases: Names of the databases by layer, for a scratch build; None builds the warehouse.
        select: dbt's node selection; None builds all nodes.
        exclude: Nodes to leave out, in dbt's syntax; None leaves out none.
        full_refresh: Rebuild the incremental models from scratch.
        threads: How many models are built at the same time.
        invoke: Calls dbt with arguments; by default dbt's own runner.

    Returns:
        dbt's result; failures are not raised.
    """
    from dbt.cli.main import dbtRunner

    arguments = ["build", "--exclude-resource-type", "unit_test", *common_arguments(settings)]
    arguments += ["--threads", str(threads)]
    if select:
        arguments += ["--select", select]
    if exclude:
        arguments += ["--exclude", exclude]
    if full_refresh:
        arguments += ["--full-refresh"]
    if databases:
        # Keep separate parsed files, or scratch builds would invalidate the cache each time.
        scratch = dbt_state(settings.home) / "scratch"
        arguments += ["--target-path", str(scratch)]
        arguments += ["--vars", json.dumps({"databases": dict(databases)})]
        # Tests of unselected tables would look for them in the scratch databases.
        arguments += ["--indirect-selection", "buildable"]
    with dbt_environment(settings, snapshots, role):
        if invoke:
            return invoke(arguments)
        return dbtRunner(callbacks=[_tell]).invoke(arguments)


def common_arguments(settings: Settings) -> list[str]:
    """Arguments of every dbt call: paths, and no console output."""
    state = dbt_state(settings.home)
    return [
        "--project-dir", str(settings.dbt_dir),
        "--profiles-dir", str(settings.dbt_dir),
        "--target-path", str(state / "target"),
        "--log-path", str(log_path(settings.home).parent),
        "--log-level", "none",
        "--log-level-file", "info",
    ]  # fmt: skip


@contextmanager
def dbt_environment(
    settings: Settings, snapshots: Snapshots, role: Role = "writer"
) -> Iterator[None]:
    """Set the variables that the project's profile reads; the password is never an argument.

    Args:
        settings: Address and accounts of ClickHouse, and settings that the models use.
        snapshots: Snapshot ids by lake table to read; None for an empty table.
        role: Account to connect with.

    Raises:
        SettingsError: The address of ClickHouse is missing or malformed.
    """
    address = server_address(settings.clickhouse)
    user, password = account(settings.clickhouse, role)
    wanted = {
        "WEEKAHEAD_DBT_HOST": address.host,
        "WEEKAHEAD_DBT_PORT": str(address.port),
        "WEEKAHEAD_DBT_SECURE": str(address.secure),
        "WEEKAHEAD_DBT_USER": user,
        "DBT_ENV_SECRET_WEEKAHEAD_PASSWORD": password.get_secret_value(),
        "WEEKAHEAD_JUMP_LIMIT": str(settings.ingest.jump_limit),
        "WEEKAHEAD_COST_BPS": str(settings.forecast.cost_bps),
        "WEEKAHEAD_BENCHMARKS": ",".join(settings.forecast.benchmarks),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }
    for table, id_ in snapshots.items():
        # An empty table must stay empty during this build.
        pinned = "none" if id_ is None else str(id_)
        wanted[f"WEEKAHEAD_SNAPSHOT_{table.replace('.', '_').upper()}"] = pinned
    with temporary_environment(wanted):
        yield


def log_path(home: Path) -> Path:
    """The path of dbt's log."""
    return home.absolute() / "logs" / "dbt.log"


def dbt_state(home: Path) -> Path:
    """The directory of dbt's parsed files and results."""
    return home.absolute() / "dbt"


def _tell(event: Any) -> None:
    if event.info.name == "NodeFinished":
        node = event.data.node_info
        # Log every model, but tests and seeds only if they need attention.
        if node.resource_type == "model" or node.node_status not in QUIET_STATUSES:
            log.info("%s %s: %s", node.resource_type, node.node_name, node.node_status)
