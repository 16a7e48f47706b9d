"""Small boosting on the inputs of HAR with the market."""

from typing import Self

import numpy as np
import pandas as pd

from lakehouse.forecasting.candidates.boosting import booster
from lakehouse.forecasting.scales.har import LEAST_ROWS
from lakehouse.forecasting.scales.har_market import HarMarket
from lakehouse.forecasting.scales.scale import log_targets
from lakehouse.panel.dataset import Floats
from lakehouse.panel.validation import inner_split

ITERATIONS, RATE = 40, 0.12


class BoostingScale(HarMarket):
    """Shallow trees for the first and the last horizon; the others are interpolated in logs.

    Neighbouring horizons share most of their days, so separate trees would only fit noise. The
    number
    of trees is chosen on the later quarter of the training dates.
    """

    kind = "boosting"

    def fit(self, X: pd.DataFrame, variances: Floats) -> Self:
        """Choose the number of trees and fit, for the first and the last horizon.

        Args:
            X: Rows of ``marts.fct_features`` with a 21-day volatility, n rows.
            variances: Sums of the daily variances ahead, shape (n, horizons); NaN where unknown.

        Returns:
            The fitted model itself.
        """
        self.remember(X)
        matrix, targets = self.inputs(X), log_targets(variances)
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
                model = booster(self.seed, int(earlier.sum()), iterations=ITERATIONS, rate=RATE)
                staged = model.fit(seen[earlier], target[earlier]).staged_predict(seen[later])
                errors = [float(np.mean((target[later] - stage) ** 2)) for stage in staged]
                trees = int(np.argmin(errors)) + 1
            self.models_.append(
                booster(self.seed, len(seen), iterations=trees, rate=RATE).fit(seen, target)
            )
        return self

    def predict_log(self, X: pd.DataFrame) -> Floats:
        """Logs of the mean daily variance ahead, shape (n, horizons)."""
        ends = super().predict_log(X)
        if not self.models_:
            return ends
        place = np.linspace(0.0, 1.0, self.horizons)
        logs: Floats = ends[:, [0]] * (1 - place) + ends[:, [-1]] * place
        return logs
