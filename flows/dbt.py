"""dbt with a Prefect task for each node, through prefect-dbt."""

from pathlib import Path
from typing import TYPE_CHECKING

from prefect.runtime import deployment

if TYPE_CHECKING:
    from dbt.cli.main import dbtRunnerResult

    from lakehouse.warehouse.runner import Invoke


def invoker() -> "Invoke | None":
    """How to invoke dbt: with tasks in a deployment's run, else None for plain dbt.

    Tasks for a hundred or more nodes cost seconds, too long for someone waiting at a terminal.
    """
    return _with_tasks if deployment.id else None


def _with_tasks(arguments: list[str]) -> "dbtRunnerResult":
    """Run dbt inside a flow, with a task for each model, seed and test."""
    from dbt_common.events.base_types import EventLevel
    from prefect_dbt import PrefectDbtRunner, PrefectDbtSettings

    # The runner silences dbt's console itself, and does not accept the level "none".
    kept = list(arguments)
    position = kept.index("--log-level")
    del kept[position : position + 2]
    # Keep dbt's own lines in its log: every node has a task, and the error shows failures.
    settings = PrefectDbtSettings(
        project_dir=_path(kept, "--project-dir"),
        profiles_dir=_path(kept, "--profiles-dir"),
        target_path=_path(kept, "--target-path"),
        log_level=EventLevel.WARN,
    )
    runner = PrefectDbtRunner(settings=settings, raise_on_failure=False)
    result: dbtRunnerResult = runner.invoke(kept)
    return result


def _path(arguments: list[str], option: str) -> Path:
    return Path(arguments[arguments.index(option) + 1])
