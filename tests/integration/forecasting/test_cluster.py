"""Folds on a Dask cluster whose workers have the object store and nothing else of ours."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from catalog.objects import object_store
from deploy.local.service import HOST, is_free
from flows.fan_out import executor
from lakehouse.errors import ServiceError
from lakehouse.forecasting import walkforward
from lakehouse.models.stored_dataset import FOLDER
from lakehouse.panel.dataset import unique_dates
from lakehouse.panel.validation import plan
from lakehouse.settings import Settings
from lakehouse.settings.forecast import ForecastSettings
from tests.homes import eventually
from tests.unit.forecasting.conftest import make_closes, make_dataset

KINDS = ("last_price", "drift", "ridge")
# Empty folders in place of those that another machine would not have.
HIDE = (
    'for folder in "$1" "$2"; do mount -t tmpfs none "$folder" || exit 1; done; shift 2; exec "$@"'
)
APART = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", HIDE, "sh"]


@contextmanager
def process(*command: str | Path, **variables: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A process with an environment that knows no home."""
    # Which kernels BLAS takes is a matter of the processor; all have to take the same.
    kept = {name: os.environ[name] for name in os.environ if name.startswith(("PATH", "OPENBLAS"))}
    environment = kept | variables
    running = subprocess.Popen(command, env=environment, cwd="/", stderr=subprocess.DEVNULL)
    try:
        yield running
    finally:
        running.kill()
        running.wait()


class Cluster:
    """A scheduler, and workers that come and go."""

    def __init__(self, workspace: Path, settings: Settings, scope: ExitStack) -> None:
        self._hidden, self._scope = (settings.home.resolve(), workspace), scope
        reader = settings.s3.reader_secret_key.get_secret_value()
        self._store = {
            "WEEKAHEAD_S3__ENDPOINT": str(settings.s3.endpoint),
            "WEEKAHEAD_S3__ACCESS_KEY": settings.s3.reader_access_key,
            "WEEKAHEAD_S3__SECRET_KEY": reader,
        }
        port = next(port for port in range(8786, 9786) if is_free(port))
        self.address = f"tcp://{HOST}:{port}"
        self.start("dask_scheduler", f"--host={HOST}", f"--port={port}", "--no-dashboard")
        eventually(lambda: not is_free(port), within=60)

    def start(self, program: str, *options: str) -> "subprocess.Popen[bytes]":
        """Start one process that sees neither the home nor the folder of the run."""
        command = [sys.executable, "-m", f"distributed.cli.{program}", *options]
        started = process(*APART, *self._hidden, *command, **self._store)
        return self._scope.enter_context(started)

    def worker(self) -> "subprocess.Popen[bytes]":
        """Start a worker of one thread; it has joined when it takes its first task."""
        options = (f"--host={HOST}", "--nthreads=1", "--no-nanny", "--no-dashboard")
        return self.start("dask_worker", self.address, *options)


@pytest.fixture
def cluster(lake: Settings, tmp_path: Path) -> Iterator[Cluster]:
    tried = subprocess.run([*APART, lake.home.resolve(), tmp_path, "true"], check=False)
    if tried.returncode:
        pytest.skip("this kernel lets nobody hide folders from a process")
    with ExitStack() as scope:
        yield Cluster(tmp_path, lake, scope)


def on(cluster: Cluster, lake: Settings) -> Callable[..., list[Any]]:
    forecast = lake.forecast.model_copy(update={"runner": "dask", "dask_address": cluster.address})
    return executor(lake.model_copy(update={"forecast": forecast}))


def test_the_same_bits_although_a_worker_dies_and_another_comes_late(
    cluster: Cluster, lake: Settings, tmp_path: Path
) -> None:
    dataset = make_dataset(make_closes())
    settings = ForecastSettings(folds=2, gate_days=60)
    folds = plan(unique_dates(dataset), settings)
    here = walkforward.run(dataset, folds, KINDS, settings, workspace=tmp_path)
    doomed = cluster.worker()
    execute = on(cluster, lake)
    taken: list[float] = []

    def disturbed(function: Callable[[Any], Any], items: Any) -> list[Any]:
        from distributed import Client

        with Client(cluster.address, set_as_default=False) as client:
            client.wait_for_workers(1, timeout=120)
            futures = client.map(function, list(items), pure=False)
            eventually(lambda: any(future.done() for future in futures), within=120)
            doomed.kill()
            taken.append(time.monotonic())
            cluster.worker()
            return list(client.gather(futures))

    disturbed.share = execute.share  # type: ignore[attr-defined]
    there = walkforward.run(dataset, folds, KINDS, settings, workspace=tmp_path, execute=disturbed)
    assert taken
    for kind in KINDS:
        mine, theirs = here.pair(kind), there.pair(kind)
        np.testing.assert_array_equal(mine.returns, theirs.returns)
        np.testing.assert_array_equal(mine.scales, theirs.scales)
        np.testing.assert_array_equal(mine.bounds, theirs.bounds)
    # As the product calls it, on the worker that is left; nothing stays in the store.
    again = walkforward.run(dataset, folds, KINDS, settings, workspace=tmp_path, execute=execute)
    np.testing.assert_array_equal(here.pair("ridge").returns, again.pair("ridge").returns)
    left = object_store(lake.s3).list_objects_v2(
        Bucket=lake.s3.artifacts_bucket, Prefix=f"{FOLDER}/"
    )
    assert left["KeyCount"] == 0


def test_a_scheduler_that_does_not_answer_is_named(
    lake: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.fan_out.CONNECT_SECONDS", 1)
    forecast = {"runner": "dask", "dask_address": f"tcp://{HOST}:1"}
    settings = lake.model_copy(update={"forecast": lake.forecast.model_copy(update=forecast)})
    with pytest.raises(ServiceError, match="WEEKAHEAD_FORECAST__DASK_ADDRESS"):
        executor(settings)(abs, [1])
