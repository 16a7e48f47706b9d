from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np

from lakehouse.forecasting import walkforward
from lakehouse.panel.dataset import Dataset, unique_dates
from lakehouse.panel.validation import plan


def serially(function, items):
    return [function(item) for item in items]


def in_another_process(function, items):
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return list(pool.map(function, items))


def test_where_tasks_run_does_not_matter(noise: Dataset, settings, tmp_path) -> None:
    folds = plan(unique_dates(noise), settings)
    kinds = ("drift", "ridge", "boosting")
    runs = [
        walkforward.run(
            noise,
            folds,
            kinds,
            settings,
            workspace=tmp_path,
            scales=("deviation", "mean"),
            execute=execute,
        )
        for execute in (None, serially, in_another_process)
    ]
    for kind, scale in (*((kind, "deviation") for kind in kinds), ("drift", "mean")):
        pairs = [run.pair(kind, scale) for run in runs]
        bits = {
            (pair.returns.tobytes(), pair.scales.tobytes(), pair.bounds.tobytes()) for pair in pairs
        }
        assert len(bits) == 1
    assert list(tmp_path.iterdir()) == []


def test_first_window_has_no_intervals_and_later_ones_do(noise, settings, tmp_path) -> None:
    folds = plan(unique_dates(noise), settings)
    result = walkforward.run(noise, folds, ["drift"], settings, workspace=tmp_path).pair("drift")
    assert np.isnan(result.bounds[result.folds == 0]).all()
    assert np.isfinite(result.bounds[result.folds > 0]).all()
    edges = result.gate_model.edges_[result.ages[-1]]
    np.testing.assert_array_equal(edges, result.bounds[-1])
