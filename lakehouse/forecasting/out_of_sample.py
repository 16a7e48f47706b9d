"""Out-of-sample forecasts of candidates, and pairs of a point and a scale model."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lakehouse.forecasting.forecaster import Forecaster
from lakehouse.forecasting.intervals import bounds_by_age, scores
from lakehouse.forecasting.parts import Points, Scales
from lakehouse.forecasting.scales import REFERENCE
from lakehouse.panel.dataset import AGES, Dataset, Floats
from lakehouse.panel.validation import Fold
from lakehouse.settings.forecast import ForecastSettings

Part = Literal["point", "scale"]


@dataclass(frozen=True)
class FoldResult:
    """One candidate's forecasts for one test window.

    Attributes:
        part: Whether the candidate is a point model or a scale model.
        kind: The candidate.
        fold: The test window.
        start: First row of the window in the dataset.
        values: Forecast log returns, or scales of the errors, shape (window rows, horizons).
        model: The fitted model, for the gate's fold only.
    """

    part: Part
    kind: str
    fold: Fold
    start: int
    values: Floats
    model: Points | Scales | None


@dataclass(frozen=True)
class OutOfSample:
    """Forecasts of every test window, none of which the models had seen.

    Attributes:
        kind: The point model.
        scale: The scale model.
        rows: Row in the dataset, shape (n,), ascending.
        folds: Index of the fold from 0; the gate has the highest, shape (n,).
        returns: Forecast log returns, shape (n, horizons).
        scales: Scales of the errors in log returns, shape (n, horizons).
        ages: Age group of the symbol as ``dataset.ages`` gives it, shape (n,).
        table: Interval bounds in units of the scale, from scores known before each window, shape
            (windows, ages, horizons, 4); NaN in the first window, which has no scores before it.
        gate_model: Fitted without the gate's window and labels that reach into it; calibrated.
    """

    kind: str
    scale: str
    rows: NDArray[np.intp]
    folds: NDArray[np.intp]
    returns: Floats
    scales: Floats
    ages: NDArray[np.intp]
    table: Floats
    gate_model: Forecaster

    @property
    def bounds(self) -> Floats:
        """Bounds of each row in units of the scale, shape (n, horizons, 4)."""
        found: Floats = self.table[self.folds, self.ages]
        return found

    def edges_at(self, h: int) -> Floats:
        """Bounds of each row for one horizon index from 0, in log returns, shape (n, 4)."""
        units: Floats = self.table[self.folds, self.ages, h]
        return self.returns[:, h, None] + self.scales[:, h, None] * units


@dataclass(frozen=True)
class Walk:
    """Forecasts of every candidate for every window.

    Attributes:
        dataset: All rows.
        points: Windows of each point model, in order; the gate last.
        scales: Windows of each scale model, in the same order.
        ages: Age group of each row's symbol.
        settings: How the candidates were trained.
        tables: Cached bounds of the pairs requested so far.
    """

    dataset: Dataset
    points: Mapping[str, list[FoldResult]]
    scales: Mapping[str, list[FoldResult]]
    ages: NDArray[np.intp]
    settings: ForecastSettings
    tables: dict[tuple[str, str], Floats] = field(default_factory=dict, repr=False, compare=False)

    def pair(self, kind: str, scale: str = REFERENCE) -> OutOfSample:
        """Combine a point and a scale model; each window is calibrated by those before it.

        Args:
            kind: A point model of the walk.
            scale: A scale model of the walk.

        Returns:
            Forecasts and bounds of every window.

        Raises:
            KeyError: The walk has no such candidate.
            ValueError: The last fold has no model, so it is not the gate.
        """
        points, scales = self.points[kind], self.scales[scale]
        rows = [np.arange(one.start, one.start + len(one.values)) for one in points]
        seen = np.concatenate(rows)
        if (kind, scale) not in self.tables:
            self.tables[kind, scale] = self._calibrated(points, scales, rows)
        table = self.tables[kind, scale]
        model = Forecaster(
            kind=kind,
            scale=scale,
            min_history=self.settings.min_history_days,
            seed=self.settings.seed,
        )
        point, size = points[-1].model, scales[-1].model
        if not isinstance(point, Points) or not isinstance(size, Scales):
            raise ValueError("The last fold has to be the gate.")
        model.assemble(point, size, self.dataset.inputs.iloc[:0])
        model.edges_ = table[-1]
        return OutOfSample(
            kind,
            scale,
            seen,
            np.repeat(np.arange(len(rows)), [len(part) for part in rows]),
            np.concatenate([one.values for one in points]),
            np.concatenate([one.values for one in scales]),
            self.ages[seen],
            table,
            model,
        )

    def _calibrated(
        self, points: list[FoldResult], scales: list[FoldResult], rows: list[NDArray[np.intp]]
    ) -> Floats:
        """Bounds by window and age group, each from the scores known before the window."""
        past: list[Floats] = []
        horizons = points[0].values.shape[1]
        table = np.full((len(points), len(AGES), horizons, 4), np.nan)
        for number, (point, size) in enumerate(zip(points, scales, strict=True)):
            if past:
                before = np.concatenate(rows[:number])
                cutoff = np.datetime64(point.fold.cutoff, "D")
                known = self.dataset.target_dates[before] < cutoff
                values = np.where(known, np.concatenate(past), np.nan)
                table[number] = bounds_by_age(values, self.ages[before])
            past.append(scores(self.dataset.targets[rows[number]], point.values, size.values))
        return table
