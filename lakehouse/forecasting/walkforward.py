"""Running candidates over folds: one task per pair, on whatever runs tasks."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.ipc
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from lakehouse.forecasting.forecaster import Forecaster
from lakehouse.forecasting.intervals import bounds_by_age, scores
from lakehouse.panel.dataset import Dataset, Floats, ages, split_arrow, to_arrow
from lakehouse.panel.validation import GATE, Fold
from lakehouse.settings.forecast import ForecastSettings

DATASET = "dataset-"
Execute = Callable[[Callable[[Any], Any], Iterable[Any]], list[Any]]


@dataclass(frozen=True)
class FoldTask:
    """One candidate on one fold; small enough to be sent to another process.

    Attributes:
        path: Arrow file that holds the dataset.
        kind: The candidate.
        fold: The test window.
        settings: How to train.
    """

    path: str
    kind: str
    fold: Fold
    settings: ForecastSettings

    def __str__(self) -> str:
        return f"{self.kind}, fold {self.fold.name}"


@dataclass(frozen=True)
class FoldResult:
    """What came out.

    Attributes:
        kind: The candidate.
        fold: The test window.
        start: First row of the window in the dataset.
        returns: Forecast log returns, shape (window rows, horizons).
        scales: Scales of the errors, same shape.
        model: The fitted model, for the gate's fold only.
    """

    kind: str
    fold: Fold
    start: int
    returns: Floats
    scales: Floats
    model: Forecaster | None


@dataclass(frozen=True)
class OutOfSample:
    """A candidate's forecasts of every test window, none of which its model had seen.

    Attributes:
        kind: The candidate.
        rows: Row in the dataset, shape (n,), ascending.
        folds: Number of the fold from 0; the gate has the highest, shape (n,).
        returns: Forecast log returns, shape (n, horizons).
        scales: Scales of the errors, shape (n, horizons).
        ages: How much is known of the symbol, as ``dataset.ages`` tells it, shape (n,).
        bounds: Interval bounds in units of the scale, from scores known before the window, shape
            (n, horizons, 4); NaN in the first window, before which there are no scores.
        gate_model: Fitted without the gate's window and what reaches into it, and calibrated.
    """

    kind: str
    rows: NDArray[np.intp]
    folds: NDArray[np.intp]
    returns: Floats
    scales: Floats
    ages: NDArray[np.intp]
    bounds: Floats
    gate_model: Forecaster


def run_fold(task: FoldTask) -> FoldResult:
    """Fit on what was known before the fold's cutoff, forecast the window."""
    dataset = _load(task.path)
    window = task.fold.test_rows(dataset)
    model = fit(dataset, task.kind, dataset.labels_before(task.fold.cutoff), task.settings)
    with threadpool_limits(1):
        returns, scales = model.forecast(dataset.inputs.iloc[window])
    return FoldResult(
        task.kind,
        task.fold,
        window.start,
        returns,
        scales,
        model if task.fold.name == GATE else None,
    )


def fit(dataset: Dataset, kind: str, labels: Floats, settings: ForecastSettings) -> Forecaster:
    """Fit a candidate on the rows that have a label."""
    known = np.flatnonzero(np.isfinite(labels).any(axis=1))
    # Rows are ordered by date, so everything known lies in a prefix: a view, not a copy.
    last = int(known[-1]) + 1 if known.size else 0
    model = Forecaster(
        kind=kind,
        min_history=settings.min_history_days,
        seed=settings.seed,
    )
    # One thread per fit: sums of floats then never depend on how many cores there are.
    with threadpool_limits(1):
        return model.fit(dataset.inputs.iloc[:last], labels[:last])


def run(
    dataset: Dataset,
    folds: tuple[Fold, ...],
    kinds: Iterable[str],
    settings: ForecastSettings,
    *,
    workspace: Path,
    execute: Execute | None = None,
) -> dict[str, OutOfSample]:
    """Every candidate over every fold.

    Args:
        dataset: All rows.
        folds: The plan; the gate last.
        kinds: Candidates to run.
        settings: How to train.
        workspace: A directory that the tasks' processes can read, and nobody else uses meanwhile.
        execute: Runs a function over tasks and returns the results in order; default: threads.
    """
    for left in workspace.glob(f"{DATASET}*"):
        left.unlink()
    # A name of its own each time: a process that lives on remembers the last one that it read.
    path = workspace.resolve() / f"{DATASET}{uuid4().hex}.arrow"
    table = to_arrow(dataset)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    tasks = [FoldTask(str(path), kind, fold, settings) for kind in kinds for fold in folds]
    try:
        results = (execute or in_threads)(run_fold, tasks)
    finally:
        _load.cache_clear()
        path.unlink()
    return {
        kind: _assemble(
            dataset,
            [result for result in results if result.kind == kind],
            ages(dataset.frame, settings.min_history_days),
        )
        for kind in dict.fromkeys(task.kind for task in tasks)
    }


def in_threads(function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
    """Run a function over items on one thread per core; results in the order of the items."""
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        return list(pool.map(function, items))


@lru_cache(maxsize=1)
def _load(path: str) -> Dataset:
    with pa.memory_map(path) as source:
        return split_arrow(pa.ipc.open_file(source).read_all())


def _assemble(dataset: Dataset, results: list[FoldResult], age: NDArray[np.intp]) -> OutOfSample:
    """Put the windows together, calibrating each by the scores known before it."""
    rows, numbers, edges = [], [], []
    past: list[Floats] = []
    past_dates: list[NDArray[np.datetime64]] = []
    for number, result in enumerate(results):
        window = slice(result.start, result.start + len(result.returns))
        rows.append(np.arange(window.start, window.stop))
        numbers.append(np.full(len(result.returns), number))
        shape = (len(result.returns), *result.returns.shape[1:], 4)
        edges.append(np.full(shape, np.nan))
        if past:
            known = np.concatenate(past_dates) < np.datetime64(result.fold.cutoff, "D")
            before = np.where(known, np.concatenate(past), np.nan)
            latest = bounds_by_age(before, age[np.concatenate(rows[:-1])])
            edges[-1][:] = latest[age[window]]
        past.append(scores(dataset.targets[window], result.returns, result.scales))
        past_dates.append(dataset.target_dates[window])
    gate = results[-1].model
    if gate is None:
        raise ValueError("The last fold has to be the gate.")
    gate.edges_ = latest
    seen = np.concatenate(rows)
    return OutOfSample(
        results[0].kind,
        seen,
        np.concatenate(numbers),
        np.concatenate([result.returns for result in results]),
        np.concatenate([result.scales for result in results]),
        age[seen],
        np.concatenate(edges),
        gate,
    )
