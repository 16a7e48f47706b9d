"""Training's candidates and folds as Prefect tasks: on threads by default, on Dask by a setting."""

import logging
import os
from collections.abc import Callable, Iterable
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from lakehouse.settings.forecast import ForecastSettings


def executor(settings: ForecastSettings) -> Callable[..., list[Any]]:
    """What ``lakehouse.usecases`` takes as ``execute``; the runner starts when there is work."""

    def execute(function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        with _runner(settings) as runner:
            futures = [runner.submit(_call, {"function": function, "item": i}) for i in items]
            return [future.result() for future in futures]

    return execute


# Results are arrays for the caller alone: neither hashed for a cache nor kept on a disk.
@task(name="walk-forward", task_run_name="{item}", cache_policy=NO_CACHE, persist_result=False)
def _call(function: Callable[[Any], Any], item: Any) -> Any:
    return function(item)


def _runner(settings: ForecastSettings) -> TaskRunner[Any]:
    cores = os.cpu_count() or 1
    if settings.runner == "threads":
        return ThreadPoolTaskRunner(max_workers=cores)
    # Importing Dask takes a second, which runs on threads need not wait.
    from prefect_dask.task_runners import DaskTaskRunner

    if settings.dask_address:
        return DaskTaskRunner(address=settings.dask_address)
    return DaskTaskRunner(
        cluster_kwargs={
            "n_workers": cores,
            "threads_per_worker": 1,
            "host": "127.0.0.1",
            # The dashboard would listen beyond loopback.
            "dashboard_address": None,
            # Workers that are closed complain of each other; what fails is raised here anyway.
            "silence_logs": logging.CRITICAL,
        }
    )
