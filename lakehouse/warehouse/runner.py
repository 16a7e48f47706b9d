"""dbt in this process: its arguments, its environment, and what it tells while it runs."""

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakehouse.environment import temporary_environment
from lakehouse.settings import Settings
from lakehouse.warehouse.builds import Snapshots
from lakehouse.warehouse.client import Role, account, server_address

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
    invoke: Invoke | None,
) -> "dbtRunnerResult":
    """Run ``dbt build`` in this process; arguments as for ``transform``, and nodes to leave out."""
    from dbt.cli.main import dbtRunner

    arguments = ["build", "--exclude-resource-type", "unit_test", *common_arguments(settings)]
    if select:
        arguments += ["--select", select]
    if exclude:
        arguments += ["--exclude", exclude]
    if full_refresh:
        arguments += ["--full-refresh"]
    if databases:
        # Other names need other parsed files, or each kind of build would undo the other's cache.
        scratch = dbt_state(settings.home) / "scratch"
        arguments += ["--target-path", str(scratch)]
        arguments += ["--vars", json.dumps({"databases": dict(databases)})]
        # Tests of tables that are not selected would look for them here.
        arguments += ["--indirect-selection", "buildable"]
    with dbt_environment(settings, snapshots, role):
        if invoke:
            return invoke(arguments)
        return dbtRunner(callbacks=[_tell]).invoke(arguments)


def common_arguments(settings: Settings) -> list[str]:
    """Arguments of every dbt call: where things are, and nothing on the console."""
    state = dbt_state(settings.home)
    return [
        "--project-dir", str(settings.dbt_dir),
        "--profiles-dir", str(settings.dbt_dir),
        "--target-path", str(state / "target"),
        "--log-path", str(log_path(settings.home).parent),
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
        # None is an empty table, and stays one for this build.
        pinned = "none" if id_ is None else str(id_)
        wanted[f"WEEKAHEAD_SNAPSHOT_{table.replace('.', '_').upper()}"] = pinned
    with temporary_environment(wanted):
        yield


def log_path(home: Path) -> Path:
    """Where dbt writes its log."""
    return home.absolute() / "logs" / "dbt.log"


def dbt_state(home: Path) -> Path:
    """Where dbt's parsed files and results are kept."""
    return home.absolute() / "dbt"


def _tell(event: Any) -> None:
    if event.info.name == "NodeFinished":
        node = event.data.node_info
        # Every model as it is done, but of tests and seeds only what needs a look.
        if node.resource_type == "model" or node.node_status not in QUIET_STATUSES:
            log.info("%s %s: %s", node.resource_type, node.node_name, node.node_status)
