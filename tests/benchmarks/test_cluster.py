"""Two Dask workers beside one: the same walk-forward, turn by turn, on a machine of two cores."""

import os
import time
from pathlib import Path
from statistics import median

from lakehouse.forecasting import walkforward
from lakehouse.panel.dataset import unique_dates
from lakehouse.panel.validation import plan
from lakehouse.platform import Platform
from lakehouse.settings.forecast import ForecastSettings
from tests.benchmarks.test_forecasting import DAYS, SYMBOLS, made_up
from tests.cluster import Cluster, cluster_of, on

KINDS = ("last_price", "drift", "ridge", "boosting")
ROUNDS = 3
RATIO = 0.6


def test_two_workers_take_at_most_three_fifths_of_the_time_of_one(
    lake: Platform, tmp_path: Path
) -> None:
    dataset, settings = made_up(SYMBOLS, DAYS), ForecastSettings()
    folds = plan(unique_dates(dataset), settings)

    def seconds(cluster: Cluster) -> float:
        started = time.perf_counter()
        walkforward.run(
            dataset, folds, KINDS, settings, workspace=tmp_path, execute=on(cluster, lake)
        )
        return time.perf_counter() - started

    with cluster_of(lake, tmp_path) as one, cluster_of(lake, tmp_path) as two:
        one.worker()
        two.worker()
        two.worker()
        # The first time, workers import everything.
        for cluster in (one, two):
            seconds(cluster)
        pairs = [(seconds(one), seconds(two)) for _ in range(ROUNDS)]
    ratio = median(both / alone for alone, both in pairs)
    shown = ", ".join(f"{alone:.1f} and {both:.1f} s" for alone, both in pairs)
    print(
        f"\n{len(dataset.frame):,} rows, {len(KINDS)} candidates: {shown} ({ratio:.2f}x); "
        f"load {os.getloadavg()[0]:.1f}"
    )
    assert ratio <= RATIO
