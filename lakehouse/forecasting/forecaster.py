"""The model that is stored and served: a point model, a scale model, and intervals of both."""

from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from lakehouse.forecasting.intervals import (
    COLUMNS,
    GRID,
    LEVELS,
    NORMAL,
    bounds_by_age,
    distribution,
)
from lakehouse.forecasting.parts import FALLBACK, Points, Scales
from lakehouse.forecasting.scales import REFERENCE
from lakehouse.panel.dataset import AGES, GROWN, HORIZONS, VOLATILITY, Floats, Mask, ages

OUTPUTS = ("point", *COLUMNS)


def output_columns(horizons: int) -> list[str]:
    """Names of the columns of ``Forecaster.predict``: ``point_1, lower_95_1, …``."""
    return [f"{name}_{h}" for h in range(1, horizons + 1) for name in OUTPUTS]


class Forecaster(BaseEstimator):  # type: ignore[misc]
    """Direct forecasts of the log return over 1 to ``horizons`` trading days, with intervals.

    Rows with fewer than ``min_history`` bars, or without a volatility, are forecast by the drift
    and a plain volatility, so a young symbol never fails.
    """

    def __init__(
        self,
        *,
        kind: str = FALLBACK,
        scale: str = REFERENCE,
        horizons: int = HORIZONS,
        min_history: int = 60,
        seed: int = 0,
    ) -> None:
        self.kind = kind
        self.scale = scale
        self.horizons = horizons
        self.min_history = min_history
        self.seed = seed

    def fit(self, X: pd.DataFrame, y: Floats, variances: Floats) -> Self:
        """Fit both models.

        Args:
            X: Rows of ``marts.fct_features`` without the close.
            y: Log returns, shape (n, horizons); NaN where not known.
            variances: Sums of the daily variances on the way there, likewise.
        """
        how = {"horizons": self.horizons, "min_history": self.min_history, "seed": self.seed}
        points = Points(kind=self.kind, **how).fit(X, y)
        return self.assemble(points, Scales(kind=self.scale, **how).fit(X, y, variances), X)

    def assemble(self, points: Points, scales: Scales, X: pd.DataFrame) -> Self:
        """Take models that were fitted apart on the same rows; only the columns of X matter."""
        self.columns_ = [str(name) for name in X.columns]
        self.points_, self.scales_ = points, scales
        self.edges_ = np.tile(NORMAL, (len(AGES), self.horizons, 1))
        self.scores_ = distribution(np.empty((0, self.horizons)))
        self.regimes_ = np.array([np.inf, np.inf])
        return self

    def calibrate(self, unseen_scores: Floats, X: pd.DataFrame) -> Self:
        """Set the intervals from scores of forecasts whose model had not seen the outcome.

        Args:
            unseen_scores: Signed errors over scales, shape (n, horizons); NaN where not known.
            X: The rows of those forecasts.
        """
        age = ages(X, self.min_history)
        self.edges_ = bounds_by_age(unseen_scores, age)
        self.scores_ = distribution(unseen_scores[age == GROWN])
        volatility = X[VOLATILITY].to_numpy(dtype="float64")[age == GROWN]
        if volatility.size:
            self.regimes_ = np.quantile(volatility, [1 / 3, 2 / 3])
        return self

    def regimes(self, X: pd.DataFrame) -> NDArray[np.intp]:
        """Calm, middle or wild: 0 to 2 by the terciles of the calibration's volatilities."""
        volatility = X[VOLATILITY].to_numpy(dtype="float64")
        found: NDArray[np.intp] = np.digitize(volatility, self.regimes_)
        return found

    def ranks(self, scores: Floats) -> Floats:
        """Where scores fall among past ones, 0 to 1, shape (n, horizons) both; NaN stay."""
        return np.column_stack(
            [np.interp(scores[:, h], self.scores_[h], GRID, 0.0, 1.0) for h in range(self.horizons)]
        )

    def forecast(self, X: pd.DataFrame) -> tuple[Floats, Floats]:
        """Expected log returns and the scale of their errors, both of shape (n, horizons)."""
        part = X[self.columns_]
        return self.points_.forecast(part), self.scales_.forecast(part)

    def drift(self, X: pd.DataFrame) -> Floats:
        """What the drift, fitted on the same rows, forecasts: log returns, shape (n, horizons)."""
        return self.points_.drift(X[self.columns_])

    def predict(self, X: pd.DataFrame, rates: Floats | None = None) -> Floats:
        """Forecasts in log returns, shape (n, 5 · horizons), columns as ``output_columns`` says.

        Args:
            X: Rows of ``marts.fct_features``.
            rates: The miss rates of the 80 and the 95 % interval in place of the nominal ones, of
                grown symbols, shape (n, horizons, 2).
        """
        returns, scales = self.forecast(X)
        edges = self.edges_[ages(X, self.min_history)]
        if rates is not None:
            edges = self._adapted(edges, rates, ages(X, self.min_history) == GROWN)
        bounds = returns[:, :, None] + scales[:, :, None] * edges
        return np.concatenate([returns[:, :, None], bounds], axis=2).reshape(len(X), -1)

    def _adapted(self, edges: Floats, rates: Floats, grown: Mask) -> Floats:
        """The bounds in units of the scale at other miss rates; nominal ones change nothing."""
        nominal = np.array([1 - level for level in LEVELS])
        found = edges.copy()
        for h in range(self.horizons):
            for place, lower, upper in ((0, 1, 2), (1, 0, 3)):
                rate = rates[grown, h, place]
                for column, then, now in (
                    (lower, nominal[place] / 2, rate / 2),
                    (upper, 1 - nominal[place] / 2, 1 - rate / 2),
                ):
                    moved = np.interp(now, GRID, self.scores_[h])
                    moved -= np.interp(then, GRID, self.scores_[h])
                    found[grown, h, column] += moved
        # Neither level crosses the other, nor the point.
        found[..., 1] = np.minimum(found[..., 1], 0.0)
        found[..., 2] = np.maximum(found[..., 2], 0.0)
        found[..., 0] = np.minimum(found[..., 0], found[..., 1])
        found[..., 3] = np.maximum(found[..., 3], found[..., 2])
        return found

    def chances(self, X: pd.DataFrame, move: float) -> Floats:
        """Probabilities of a rise, and of a log return beyond ± ``move``; shape (n, horizons, 2).

        From the same scores as the bounds, for symbols of any age.
        """
        returns, scales = self.forecast(X)
        below_zero, below_low, below_high = (
            self.ranks((at - returns) / scales) for at in (0.0, -move, move)
        )
        return np.stack([1 - below_zero, below_low + 1 - below_high], axis=2)
