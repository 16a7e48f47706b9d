"""HAR with the market, corrected by trees."""

from typing import Self

import numpy as np
import pandas as pd

from lakehouse.forecasting.scales.har_market import HarMarket
from lakehouse.forecasting.scales.scale import CLIP
from lakehouse.forecasting.scales.trees import BoostingScale
from lakehouse.panel.dataset import Floats

LEAST_RATIO = 0.1


class Corrected(BoostingScale):
    """Trees learn the ratio of the moves to what HAR with the market says, and multiply it.

    A line carries on where the past ends, which trees cannot; they add what is not a line.
    """

    kind = "corrected"
    # The trees only correct: half the rate of those that start from nothing.
    rate = 0.06

    def fit(self, X: pd.DataFrame, variances: Floats) -> Self:
        """Fit the regression, then the trees.

        Args:
            X: Rows of ``marts.fct_features`` with a 21-day volatility, n rows.
            variances: Sums of the daily variances ahead, shape (n, horizons); NaN where unknown.

        Returns:
            The fitted model itself.
        """
        self.remember(X)
        self.line_ = HarMarket(horizons=self.horizons, seed=self.seed).fit(X, variances)
        ratio = self.moves(X, variances) / np.exp(self.line_.predict_log(X) / 2)
        return self.grow(X, np.minimum(ratio, CLIP))

    def predict_log(self, X: pd.DataFrame) -> Floats:
        """Logs of the mean daily variance ahead, shape (n, horizons)."""
        logs: Floats = self.line_.predict_log(X)
        if not self.models_:
            return logs
        logs += 2 * np.log(np.maximum(self.learned(X), LEAST_RATIO))
        return logs
