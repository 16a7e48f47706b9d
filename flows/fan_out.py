"""Runs training's candidates and folds: on threads, on a local Dask, or on a Dask cluster.

Threads and a local Dask run them as Prefect tasks. Workers of a cluster need neither this home nor
access to Prefect: they fetch the dataset from the object store, and the scheduler returns results.
"""

import logging
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from lakehouse.errors import ServiceError
from lakehouse.models.stored_dataset import stored
from lakehouse.panel.handover import Share
from lakehouse.settings import Settings
from lakehouse.settings.forecast import ForecastSettings

CONNECT_SECONDS = 20


def executor(settings: Settings) -> Callable[..., list[Any]]:
    """The ``execute`` argument of ``lakehouse.usecases``; the runner starts when there is work."""
    forecast = settings.forecast
    if forecast.runner == "dask" and forecast.dask_address:
        return Cluster(forecast.dask_address, stored(settings.s3))

    def execute(function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        with _runner(forecast) as runner:
            futures = [runner.submit(_call, {"function": function, "item": i}) for i in items]
            return [future.result() for future in futures]

    return execute


@dataclass(frozen=True)
class Cluster:
    """Runs tasks on a Dask cluster.

    Attributes:
        address: Address of the scheduler.
        share: How workers get a dataset.
    """

    address: str
    share: Share

    def __call__(self, function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        """Run a function over items; the tasks of a lost worker move to another.

        Args:
            function: Called with one item; both are pickled.
            items: The arguments.

        Returns:
            Results in the order of the items.

        Raises:
            ServiceError: The scheduler does not answer.
        """
        from distributed import Client

        try:
            client = Client(  # type: ignore[no-untyped-call]
                self.address, timeout=CONNECT_SECONDS, set_as_default=False
            )
        except OSError as error:
            raise ServiceError(
                f"The Dask scheduler at {self.address} does not answer: start it, or correct "
                "WEEKAHEAD_FORECAST__DASK_ADDRESS."
            ) from error
        with client:
            # One by one, because within one batch Dask chooses the order.
            futures = [
                client.submit(function, item, pure=False, priority=-number)
                for number, item in enumerate(items)
            ]
            results: list[Any] = client.gather(futures)  # type: ignore[no-untyped-call]
            return results


# Results are large arrays that only the caller needs: do not hash, cache or persist them.
@task(name="walk-forward", task_run_name="{item}", cache_policy=NO_CACHE, persist_result=False)
def _call(function: Callable[[Any], Any], item: Any) -> Any:
    return function(item)


def _runner(settings: ForecastSettings) -> TaskRunner[Any]:
    cores = os.cpu_count() or 1
    if settings.runner == "threads":
        return ThreadPoolTaskRunner(max_workers=cores)
    # Importing Dask takes a second, so only import it if it is used.
    from prefect_dask.task_runners import DaskTaskRunner

    return DaskTaskRunner(
        cluster_kwargs={
            "n_workers": cores,
            "threads_per_worker": 1,
            "host": "127.0.0.1",
            # The dashboard would listen beyond loopback.
            "dashboard_address": None,
            # Workers log errors about each other on shutdown; real failures are raised here.
            "silence_logs": logging.CRITICAL,
        }
    )
