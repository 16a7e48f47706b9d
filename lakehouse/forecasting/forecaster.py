"""The model that is stored and served: a point model, a scale model, and their intervals."""

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
    chances,
    distribution,
    ranks,
)
from lakehouse.forecasting.parts import FALLBACK, Points, Scales
from lakehouse.forecasting.scales import REFERENCE
from lakehouse.panel.dataset import AGES, GROWN, HORIZONS, VOLATILITY, Floats, Mask, ages

OUTPUTS = ("point", *COLUMNS)


def output_columns(horizons: int) -> list[str]:
    """Column names of ``Forecaster.predict``: ``point_1, lower_95_1, …``."""
    return [f"{name}_{h}" for h in range(1, horizons + 1) for name in OUTPUTS]


class Forecaster(BaseEstimator):  # type: ignore[misc]
    """Direct forecasts of the log return over 1 to ``horizons`` trading days, with intervals.

    Rows with fewer than ``min_history`` bars, or without a volatility, are forecast by the drift
    and a plain volatility, so that a young symbol never fails.
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
            X: Rows of ``marts.fct_features`` without the close, n rows.
            y: Log returns, shape (n, horizons); NaN where unknown.
            variances: Sums of the daily variances up to each horizon, shape (n, horizons).

        Returns:
            The fitted forecaster itself, with normal bounds until it is calibrated.
        """
        how = {"horizons": self.horizons, "min_history": self.min_history, "seed": self.seed}
        points = Points(kind=self.kind, **how).fit(X, y)
        return self.assemble(points, Scales(kind=self.scale, **how).fit(X, y, variances), X)

    def assemble(self, points: Points, scales: Scales, X: pd.DataFrame) -> Self:
        """Combine models that were fitted separately on the same rows.

        Args:
            points: The fitted point models.
            scales: The fitted scale models.
            X: Any rows with the training columns; only the column names are used.

        Returns:
            The forecaster itself, with normal bounds until it is calibrated.
        """
        self.columns_ = [str(name) for name in X.columns]
        self.points_, self.scales_ = points, scales
        self.edges_ = np.tile(NORMAL, (len(AGES), self.horizons, 1))
        self.scores_ = distribution(np.empty((0, self.horizons)))
        self.regimes_ = np.array([np.inf, np.inf])
        return self

    def calibrate(self, unseen_scores: Floats, X: pd.DataFrame) -> Self:
        """Set the intervals from scores of forecasts made without knowledge of the outcome.

        Args:
            unseen_scores: Signed errors over scales, shape (n, horizons); NaN where unknown.
            X: The rows of those forecasts, n of them.

        Returns:
            The calibrated forecaster itself.
        """
        age = ages(X, self.min_history)
        self.edges_ = bounds_by_age(unseen_scores, age)
        self.scores_ = distribution(unseen_scores[age == GROWN])
        volatility = X[VOLATILITY].to_numpy(dtype="float64")[age == GROWN]
        if volatility.size:
            self.regimes_ = np.quantile(volatility, [1 / 3, 2 / 3])
        return self

    def regimes(self, X: pd.DataFrame) -> NDArray[np.intp]:
        """Volatility regime of each row: 0 (calm) to 2 (wild), by the terciles at calibration."""
        volatility = X[VOLATILITY].to_numpy(dtype="float64")
        found: NDArray[np.intp] = np.digitize(volatility, self.regimes_)
        return found

    def ranks(self, scores: Floats) -> Floats:
        """Ranks of scores among past ones, 0 to 1; both of shape (n, horizons), NaN stay NaN."""
        return ranks(scores, self.scores_)

    def forecast(self, X: pd.DataFrame) -> tuple[Floats, Floats]:
        """Expected log returns and the scale of their errors, both of shape (n, horizons)."""
        part = X[self.columns_]
        return self.points_.forecast(part), self.scales_.forecast(part)

    def drift(self, X: pd.DataFrame) -> Floats:
        """Forecasts of the drift fitted on the same rows: log returns, shape (n, horizons)."""
        return self.points_.drift(X[self.columns_])

    def predict(self, X: pd.DataFrame, rates: Floats | None = None) -> Floats:
        """Forecasts in log returns, with the bounds of both intervals.

        Args:
            X: Rows of ``marts.fct_features``, n rows.
            rates: Miss rates of the 80 and the 95 % interval for grown symbols, shape (n, horizons,
                2); None uses the nominal 0.2 and 0.05.

        Returns:
            Shape (n, 5 · horizons); ``output_columns`` names the columns.
        """
        returns, scales = self.forecast(X)
        edges = self.edges_[ages(X, self.min_history)]
        if rates is not None:
            edges = self._adapted(edges, rates, ages(X, self.min_history) == GROWN)
        bounds = returns[:, :, None] + scales[:, :, None] * edges
        return np.concatenate([returns[:, :, None], bounds], axis=2).reshape(len(X), -1)

    def _adapted(self, edges: Floats, rates: Floats, grown: Mask) -> Floats:
        """Bounds in units of the scale at other miss rates; nominal rates change nothing."""
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
        # Keep the levels nested around the point.
        found[..., 1] = np.minimum(found[..., 1], 0.0)
        found[..., 2] = np.maximum(found[..., 2], 0.0)
        found[..., 0] = np.minimum(found[..., 0], found[..., 1])
        found[..., 3] = np.maximum(found[..., 3], found[..., 2])
        return found

    def chances(self, X: pd.DataFrame, move: float) -> Floats:
        """Probabilities of a rise and of a large move, for symbols of any age.

        Args:
            X: Rows of ``marts.fct_features``, n rows.
            move: Size of a large move, as a positive log return.

        Returns:
            As ``intervals.chances`` gives them, shape (n, horizons, 2).
        """
        return chances(*self.forecast(X), self.scores_, move)
