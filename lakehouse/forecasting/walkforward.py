"""Walk-forward: every candidate on every fold, one task per pair, on any task runner.

Point models and scale models run separately, each once per fold; any two of them form a forecaster.
"""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from lakehouse.forecasting.forecaster import Forecaster
from lakehouse.forecasting.one_thread import one_thread
from lakehouse.forecasting.out_of_sample import FoldResult, Part, Walk
from lakehouse.forecasting.parts import Points, Scales
from lakehouse.forecasting.scales import REFERENCE
from lakehouse.panel.dataset import Dataset, Floats, ages
from lakehouse.panel.handover import Place, Share, as_local_file
from lakehouse.panel.validation import GATE, Fold
from lakehouse.settings.forecast import ForecastSettings

Execute = Callable[[Callable[[Any], Any], Iterable[Any]], list[Any]]


@dataclass(frozen=True)
class FoldTask:
    """One candidate on one fold; small enough to send to another process.

    Attributes:
        place: Where to load the dataset from.
        part: Whether the candidate is a point model or a scale model.
        kind: The candidate.
        fold: The test window.
        settings: How to train.
    """

    place: Place
    part: Part
    kind: str
    fold: Fold
    settings: ForecastSettings

    def __str__(self) -> str:
        return f"{self.kind} ({self.part}), fold {self.fold.name}"


def run_fold(task: FoldTask) -> FoldResult:
    """Fit on labels known before the fold's cutoff, then forecast its window."""
    dataset = _load(task.place)
    window = task.fold.test_rows(dataset)
    labels = dataset.labels_before(task.fold.cutoff)
    with one_thread():
        model = _fit(dataset, task.part, task.kind, labels, task.settings)
        values = model.forecast(dataset.inputs.iloc[window])
    kept = model if task.fold.name == GATE else None
    return FoldResult(task.part, task.kind, task.fold, window.start, values, kept)


def fit(
    dataset: Dataset,
    kind: str,
    labels: Floats,
    settings: ForecastSettings,
    *,
    scale: str = REFERENCE,
) -> Forecaster:
    """Fit a point and a scale model on the rows that have a label.

    Args:
        dataset: All rows, n of them.
        kind: The point model.
        labels: Log returns, shape (n, horizons); NaN for labels that must not be used.
        settings: Minimum history and seed.
        scale: The scale model.

    Returns:
        An uncalibrated forecaster.
    """
    model = Forecaster(
        kind=kind, scale=scale, min_history=settings.min_history_days, seed=settings.seed
    )
    with one_thread():
        points = _fit(dataset, "point", kind, labels, settings)
        scales = _fit(dataset, "scale", scale, labels, settings)
    return model.assemble(points, scales, dataset.inputs.iloc[:0])


def _fit(
    dataset: Dataset, part: Part, kind: str, labels: Floats, settings: ForecastSettings
) -> Any:
    known = np.flatnonzero(np.isfinite(labels).any(axis=1))
    # Rows are ordered by date, so everything known lies in a prefix: a view, not a copy.
    last = int(known[-1]) + 1 if known.size else 0
    inputs, y = dataset.inputs.iloc[:last], labels[:last]
    how: dict[str, Any] = {
        "kind": kind,
        "min_history": settings.min_history_days,
        "seed": settings.seed,
    }
    if part == "point":
        return Points(**how).fit(inputs, y)
    # Like its return, the variance of a move is known only when the move has ended.
    variances = np.where(np.isfinite(y), dataset.variances[:last], np.nan)
    return Scales(**how).fit(inputs, y, variances)


def run(
    dataset: Dataset,
    folds: tuple[Fold, ...],
    kinds: Iterable[str],
    settings: ForecastSettings,
    *,
    workspace: Path,
    scales: Iterable[str] = (REFERENCE,),
    execute: Execute | None = None,
) -> Walk:
    """Run every candidate over every fold.

    Args:
        dataset: All rows.
        folds: The plan; the gate last.
        kinds: Point models to run.
        settings: How to train.
        workspace: A directory readable by the processes of the tasks and not used by others
            meanwhile.
        scales: Scale models to run.
        execute: Runs a function over tasks and returns the results in order; default: threads. If
            it runs them in other processes, its attribute ``share`` is a ``handover.Share``.

    Returns:
        The forecasts of all windows.
    """
    candidates: list[tuple[Part, str]] = [("point", kind) for kind in dict.fromkeys(kinds)]
    candidates += [("scale", scale) for scale in dict.fromkeys(scales)]
    share: Share = getattr(execute, "share", as_local_file)
    with share(dataset, workspace) as place:
        tasks = [
            FoldTask(place, part, kind, fold, settings)
            # The longest fits, which know most, go first: one that starts last would be waited for
            # by all others.
            for fold in sorted(folds, key=lambda fold: fold.cutoff, reverse=True)
            for part, kind in candidates
        ]
        try:
            results = (execute or in_threads)(run_fold, tasks)
        finally:
            _load.cache_clear()
    by_candidate: dict[tuple[Part, str], list[FoldResult]] = {}
    for result in sorted(results, key=lambda result: result.fold.cutoff):
        by_candidate.setdefault((result.part, result.kind), []).append(result)
    return Walk(
        dataset,
        {kind: found for (part, kind), found in by_candidate.items() if part == "point"},
        {kind: found for (part, kind), found in by_candidate.items() if part == "scale"},
        ages(dataset.frame, settings.min_history_days),
        settings,
    )


def in_threads(function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
    """Run a function over items, with one thread per core.

    Args:
        function: Called with one item; must be thread-safe.
        items: The arguments.

    Returns:
        The results, in the order of the items. The first exception is raised as it is.
    """
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        return list(pool.map(function, items))


@lru_cache(maxsize=1)
def _load(place: Place) -> Dataset:
    return place.load()
