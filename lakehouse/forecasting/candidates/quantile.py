"""Quantile boosting: the median as the point, its own spread as the scale of the interval."""

from typing import Self

import numpy as np
import pandas as pd

from lakehouse.forecasting.candidates.boosting import booster, observed
from lakehouse.forecasting.candidates.candidate import Candidate
from lakehouse.panel.dataset import Floats

LEVELS = (0.1, 0.5, 0.9)
# Distance of the 10 % and 90 % quantiles of a normal distribution, in standard deviations.
NORMAL_SPREAD = 2.5631
LEAST_SCALE = 0.1
# Three boosters per horizon: fewer and faster steps than the plain booster takes.
ITERATIONS, RATE = 12, 0.2


class QuantileBoosting(Candidate):
    """Boosted 10, 50 and 90 % quantiles of the standardised return.

    The quantiles give the shape of the interval; how wide it has to be is calibrated outside
    (conformalised quantile regression: Romano, Patterson & Candès 2019, in its scaled form).
    """

    kind = "quantile_boosting"

    def fit(self, X: pd.DataFrame, y: Floats) -> Self:
        """Fit one booster per quantile."""
        self.remember(X, y)
        target, matrix = self.standardised(X, y), observed(self.matrix(X))
        self.models_ = [
            booster(self.seed, len(target), iterations=ITERATIONS, rate=RATE, quantile=level).fit(
                matrix, target
            )
            for level in LEVELS
        ]
        return self

    def predict(self, X: pd.DataFrame) -> Floats:
        """The median, shape (n,)."""
        return np.asarray(self.models_[1].predict(self.matrix(X))) * self.volatility(X)

    def predict_scale(self, X: pd.DataFrame) -> Floats:
        """The predicted 10-90 % spread as a standard deviation, shape (n,)."""
        matrix = self.matrix(X)
        spread = self.models_[2].predict(matrix) - self.models_[0].predict(matrix)
        scale = np.maximum(np.asarray(spread) / NORMAL_SPREAD, LEAST_SCALE)
        return scale * self.volatility(X)
