"""Quantile boosting: the median instead of the mean."""

from typing import Self

import numpy as np
import pandas as pd

from lakehouse.forecasting.candidates.boosting import booster, observed
from lakehouse.forecasting.candidates.candidate import Candidate
from lakehouse.panel.dataset import Floats

ITERATIONS, RATE = 12, 0.2


class QuantileBoosting(Candidate):
    """Boosted median of the standardised return, which minimises the absolute error.

    The scale models provide the width of the bands.
    """

    kind = "quantile_boosting"

    def fit(self, X: pd.DataFrame, y: Floats) -> Self:
        """Fit the median.

        Args:
            X: Rows of ``marts.fct_features``, n rows.
            y: Log returns over the horizon, shape (n,), finite.

        Returns:
            The fitted candidate itself.
        """
        self.remember(X, y)
        target, matrix = self.standardised(X, y), observed(self.matrix(X))
        model = booster(self.seed, len(target), iterations=ITERATIONS, rate=RATE, quantile=0.5)
        self.model_ = model.fit(matrix, target)
        return self

    def predict(self, X: pd.DataFrame) -> Floats:
        """The median of the log return, shape (n,)."""
        return np.asarray(self.model_.predict(self.matrix(X))) * self.volatility(X)
