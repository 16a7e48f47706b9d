"""The mean in logs of HAR with the market and of boosting."""

from typing import Self

import pandas as pd

from lakehouse.forecasting.scales.har_market import HarMarket
from lakehouse.forecasting.scales.scale import ScaleModel, sizes
from lakehouse.forecasting.scales.trees import BoostingScale
from lakehouse.panel.dataset import Floats


class MeanScale(ScaleModel):
    """Averages a linear model and trees on the same inputs, whose errors differ."""

    kind = "mean"

    def fit(self, X: pd.DataFrame, variances: Floats) -> Self:
        """Fit both parts.

        Args:
            X: Rows of ``marts.fct_features`` with a 21-day volatility, n rows.
            variances: Sums of the daily variances ahead, shape (n, horizons); NaN where unknown.

        Returns:
            The fitted model itself.
        """
        self.remember(X)
        self.parts_: list[HarMarket] = [
            part(horizons=self.horizons, seed=self.seed).fit(X, variances)
            for part in (HarMarket, BoostingScale)
        ]
        return self

    def predict(self, X: pd.DataFrame) -> Floats:
        """Sizes of the moves, shape (n, horizons)."""
        line, trees = (part.predict_log(X) for part in self.parts_)
        return sizes((line + trees) / 2)
