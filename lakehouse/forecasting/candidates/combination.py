"""The combination: ridge and boosting by their validated skill, the rest drift."""

from typing import Self

import numpy as np
import pandas as pd

from lakehouse.forecasting.candidates.boosting import Boosting
from lakehouse.forecasting.candidates.candidate import Candidate
from lakehouse.forecasting.candidates.drift import Drift
from lakehouse.forecasting.candidates.ridge import RidgeReturns
from lakehouse.panel.dataset import Floats
from lakehouse.panel.validation import inner_split

LEAST_ROWS = 50


class Combination(Candidate):
    """Drift plus ``weight`` times the average deviation of the models from it.

    The weight is the slope of realised on predicted deviations from drift over the later quarter of
    the training dates, shrunk by the positive-part James-Stein factor 1 - 1/t² with a standard
    error clustered by blocks of dates. Without validated skill it is zero, and the combination
    equals the drift bit for bit.
    """

    kind = "combination"

    def fit(self, X: pd.DataFrame, y: Floats) -> Self:
        """Measure skill within the training rows, then fit the parts that are needed.

        Args:
            X: Rows of ``marts.fct_features``, n rows.
            y: Log returns over the horizon, shape (n,), finite.

        Returns:
            The fitted candidate itself.
        """
        self.remember(X, y)
        self.drift_ = self._part(Drift).fit(X, y)
        self.weight_ = self._validated_weight(X, y)
        self.parts_ = (
            [self._part(part).fit(X, y) for part in (RidgeReturns, Boosting)]
            if self.weight_ > 0
            else []
        )
        return self

    def predict(self, X: pd.DataFrame) -> Floats:
        """Drift plus the weighted deviation of the models, shape (n,)."""
        drift: Floats = self.drift_.predict(X)
        if not self.parts_:
            return drift
        opinion = np.mean([part.predict(X) for part in self.parts_], axis=0)
        moved: Floats = drift + self.weight_ * (opinion - drift)
        return moved

    def _part(self, kind: type[Candidate]) -> Candidate:
        return kind(horizon=self.horizon, seed=self.seed)

    def _validated_weight(self, X: pd.DataFrame, y: Floats) -> float:
        earlier, later = inner_split(X, horizon=self.horizon)
        if min(earlier.sum(), later.sum()) < LEAST_ROWS:
            return 0.0
        seen, unseen = X[earlier], X[later]
        drift = self._part(Drift).fit(seen, y[earlier]).predict(unseen)
        parts = [self._part(part).fit(seen, y[earlier]) for part in (RidgeReturns, Boosting)]
        opinion = np.mean([part.predict(unseen) for part in parts], axis=0)
        scale = self.volatility(unseen)
        predicted = (opinion - drift) / scale
        realised = np.clip((y[later] - drift) / scale, -5, 5)
        return shrunk_slope(predicted, realised, unseen["trade_date"].to_numpy(), 2 * self.horizon)


def shrunk_slope(predicted: Floats, realised: Floats, dates: "np.ndarray", block: int) -> float:
    """Slope through the origin, shrunk by 1 - 1/t² and clipped to 0…1.

    The standard error sums the scores over blocks of dates, because neighbouring labels overlap and
    symbols move together within a day.

    Args:
        predicted: Predicted deviations, standardised, shape (n,).
        realised: Realised deviations, standardised, shape (n,).
        dates: As-of date of each row, shape (n,).
        block: Number of consecutive dates in a block.

    Returns:
        The weight of the prediction; 0 without skill.

    Source: positive-part James-Stein shrinkage (James & Stein 1961; Baranchik 1964).
    """
    energy = float(predicted @ predicted)
    if energy <= 0:
        return 0.0
    slope = float(predicted @ realised) / energy
    if slope <= 0:
        return 0.0
    _, position = np.unique(dates, return_inverse=True)
    scores = np.bincount(position // block, weights=predicted * (realised - slope * predicted))
    error = float(np.sqrt(scores @ scores)) / energy
    return float(np.clip(slope * max(0.0, 1.0 - (error / slope) ** 2), 0.0, 1.0))
