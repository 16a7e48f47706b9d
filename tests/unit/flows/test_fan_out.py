"""The runners that the flows hand to training; a whole training on Dask is in test_pipeline."""

import os

from prefect.task_runners import ThreadPoolTaskRunner

from flows.fan_out import _runner, executor
from lakehouse.settings import Settings
from lakehouse.settings.forecast import ForecastSettings


def test_threads_unless_dask_is_asked_for() -> None:
    assert isinstance(_runner(ForecastSettings()), ThreadPoolTaskRunner)


def test_dask_means_a_process_per_core_on_loopback() -> None:
    with _runner(ForecastSettings(runner="dask")) as runner:
        addresses = runner.client.run(os.getpid)
        assert len(set(addresses.values()) - {os.getpid()}) == os.cpu_count()
        assert all(address.startswith("tcp://127.0.0.1:") for address in addresses)
        # A cluster that runs already is used as it is.
        forecast = {"runner": "dask", "dask_address": runner.client.scheduler.address}
        execute = executor(Settings(_env_file=None, forecast=forecast))  # type: ignore[call-arg, arg-type]
        assert execute(abs, [-3, 2, -1]) == [3, 2, 1]
