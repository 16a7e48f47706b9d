"""Small boosting on the inputs of HAR with the market."""

from typing import ClassVar, Self

import numpy as np
import pandas as pd

from lakehouse.forecasting.candidates.boosting import booster
from lakehouse.forecasting.scales.har import LEAST_ROWS
from lakehouse.forecasting.scales.har_market import HarMarket
from lakehouse.panel.dataset import Floats
from lakehouse.panel.validation import inner_split

ITERATIONS = 40


class BoostingScale(HarMarket):
    """Shallow trees for the first and the last horizon; the others are interpolated in logs.

    Neighbouring horizons share most of their days, so separate trees would only fit noise. The
    number of trees is chosen on the later quarter of the training dates.

    Attributes:
        rate: Learning rate.
    """

    kind = "boosting"
    rate: ClassVar[float] = 0.12

    def fit(self, X: pd.DataFrame, variances: Floats) -> Self:
        """Grow trees for the logs of the moves.

        Args:
            X: Rows of ``marts.fct_features`` with a 21-day volatility, n rows.
            variances: Sums of the daily variances ahead, shape (n, horizons); NaN where unknown.

        Returns:
            The fitted model itself.
        """
        self.remember(X)
        return self.grow(X, np.log(self.moves(X, variances)))

    def grow(self, X: pd.DataFrame, targets: Floats) -> Self:
        """Choose the number of trees and fit, for the first and the last horizon.

        Args:
            X: Rows of ``marts.fct_features`` with a 21-day volatility, n rows.
            targets: What to learn, shape (n, horizons); NaN where unknown.

        Returns:
            The fitted model itself.
        """
        matrix = self.inputs(X)
        self.ends_ = sorted({0, self.horizons - 1})
        self.models_ = []
        for h in self.ends_:
            known = np.isfinite(targets[:, h])
            if known.sum() < LEAST_ROWS:
                self.models_ = []
                return self
            earlier, later = inner_split(X.loc[known, ["trade_date"]], horizon=h + 1)
            seen, target = matrix[known], targets[known, h]
            trees = ITERATIONS
            if min(earlier.sum(), later.sum()) >= LEAST_ROWS:
                model = booster(
                    self.seed, int(earlier.sum()), iterations=ITERATIONS, rate=self.rate
                )
                staged = model.fit(seen[earlier], target[earlier]).staged_predict(seen[later])
                errors = [float(np.mean((target[later] - stage) ** 2)) for stage in staged]
                trees = int(np.argmin(errors)) + 1
            self.models_.append(
                booster(self.seed, len(seen), iterations=trees, rate=self.rate).fit(seen, target)
            )
        return self

    def predict_log(self, X: pd.DataFrame) -> Floats:
        """Logs of the mean daily variance ahead, shape (n, horizons)."""
        return 2 * self.learned(X) if self.models_ else super().predict_log(X)

    def learned(self, X: pd.DataFrame) -> Floats:
        """What ``grow`` learned, for all horizons, shape (n, horizons)."""
        matrix = self.inputs(X)
        first, last = self.models_[0].predict(matrix), self.models_[-1].predict(matrix)
        place = np.linspace(0.0, 1.0, self.horizons)
        between: Floats = first[:, None] * (1 - place) + last[:, None] * place
        return between
