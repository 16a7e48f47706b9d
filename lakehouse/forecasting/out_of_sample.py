"""What candidates said of windows that they had not seen, and pairs of them put together."""

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
    """What came out.

    Attributes:
        part: Whether the candidate is a point model or a scale model.
        kind: The candidate.
        fold: The test window.
        start: First row of the window in the dataset.
        values: Forecast log returns, or sizes of the errors, shape (window rows, horizons).
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
        folds: Number of the fold from 0; the gate has the highest, shape (n,).
        returns: Forecast log returns, shape (n, horizons).
        scales: Scales of the errors, shape (n, horizons).
        ages: How much is known of the symbol, as ``dataset.ages`` tells it, shape (n,).
        table: Interval bounds in units of the scale, from scores known before each window, shape
            (windows, ages, horizons, 4); NaN in the first window, before which there are no
            scores.
        gate_model: Fitted without the gate's window and what reaches into it, and calibrated.
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
        """The bounds of each row, shape (n, horizons, 4)."""
        found: Floats = self.table[self.folds, self.ages]
        return found

    def bounds_at(self, h: int) -> Floats:
        """The bounds of each row for one horizon, counted from 0, shape (n, 4)."""
        found: Floats = self.table[self.folds, self.ages, h]
        return found


@dataclass(frozen=True)
class Walk:
    """What every candidate said of every window.

    Attributes:
        dataset: All rows.
        points: Windows of each point model, in order; the gate last.
        scales: Windows of each scale model, likewise.
        ages: Of each row, how much is known of its symbol.
        settings: How the candidates were trained.
        tables: Bounds of the pairs that were asked for so far.
    """

    dataset: Dataset
    points: Mapping[str, list[FoldResult]]
    scales: Mapping[str, list[FoldResult]]
    ages: NDArray[np.intp]
    settings: ForecastSettings
    tables: dict[tuple[str, str], Floats] = field(default_factory=dict, repr=False, compare=False)

    def pair(self, kind: str, scale: str = REFERENCE) -> OutOfSample:
        """The forecasts of two candidates together, each window calibrated by those before."""
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
        # Only the names of the columns are taken from the rows.
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
        """Bounds by window and age, each from the scores known before the window."""
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
