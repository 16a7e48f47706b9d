"""Folds on a Dask cluster whose workers have the object store and nothing else of ours."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from catalog.objects import object_store
from deploy.local.service import HOST
from flows.fan_out import executor
from lakehouse.errors import ServiceError
from lakehouse.forecasting import walkforward
from lakehouse.models.stored_dataset import FOLDER
from lakehouse.panel.dataset import unique_dates
from lakehouse.panel.validation import plan
from lakehouse.platform import Platform
from lakehouse.settings.forecast import ForecastSettings
from tests.cluster import Cluster, cluster_of, on
from tests.homes import eventually
from tests.unit.forecasting.conftest import make_closes, make_dataset

KINDS = ("last_price", "drift", "ridge")


@pytest.fixture
def cluster(lake: Platform, tmp_path: Path) -> Iterator[Cluster]:
    with cluster_of(lake, tmp_path) as cluster:
        yield cluster


def test_the_same_bits_although_a_worker_dies_and_another_comes_late(
    cluster: Cluster, lake: Platform, tmp_path: Path
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
    left = object_store(lake.settings.s3).list_objects_v2(
        Bucket=lake.settings.s3.artifacts_bucket, Prefix=f"{FOLDER}/"
    )
    assert left["KeyCount"] == 0


def test_a_scheduler_that_does_not_answer_is_named(
    lake: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.fan_out.CONNECT_SECONDS", 1)
    forecast = {"runner": "dask", "dask_address": f"tcp://{HOST}:1"}
    settings = lake.settings.model_copy(
        update={"forecast": lake.settings.forecast.model_copy(update=forecast)}
    )
    with pytest.raises(ServiceError, match="WEEKAHEAD_FORECAST__DASK_ADDRESS"):
        executor(settings)(abs, [1])
