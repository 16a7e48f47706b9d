"""HAR: variance over a day, a week, a month, a quarter and a year, weighted by a ridge."""

from typing import Self

import numpy as np
import pandas as pd
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from lakehouse.forecasting.scales.scale import ScaleModel, log_targets, sizes
from lakehouse.panel.dataset import Floats, Mask
from lakehouse.panel.validation import inner_split

# Multiples of the number of rows, so that penalties are comparable at any size.
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1)
LEAST_ROWS = 50


class Har(ScaleModel):
    """Heterogeneous autoregression in logs (Corsi 2009), one ridge per horizon for all symbols.

    The penalty is chosen on the later quarter of the training dates. With too few rows to learn
    from, the variance of the past month is used.
    """

    kind = "har"

    def inputs(self, X: pd.DataFrame) -> Floats:
        """Inputs of the ridge, shape (n, inputs)."""
        return self.log_variances(X)

    def fit(self, X: pd.DataFrame, variances: Floats) -> Self:
        """Choose a penalty and fit a ridge for each horizon.

        Args:
            X: Rows of ``marts.fct_features`` with a 21-day volatility, n rows.
            variances: Sums of the daily variances ahead, shape (n, horizons); NaN where unknown.

        Returns:
            The fitted model itself.
        """
        self.remember(X)
        matrix, targets = self.inputs(X), log_targets(variances)
        self.models_: list[Pipeline] = []
        for h in range(self.horizons):
            known = np.isfinite(targets[:, h])
            if known.sum() < LEAST_ROWS:
                self.models_ = []
                return self
            earlier, later = inner_split(X.loc[known, ["trade_date"]], horizon=h + 1)
            seen, target = matrix[known], targets[known, h]
            penalty = _choose(seen, target, earlier, later)
            self.models_.append(_pipeline(penalty, len(seen)).fit(seen, target))
        return self

    def predict(self, X: pd.DataFrame) -> Floats:
        """Sizes of the moves, shape (n, horizons)."""
        return sizes(self.predict_log(X))

    def predict_log(self, X: pd.DataFrame) -> Floats:
        """Logs of the mean daily variance ahead, shape (n, horizons)."""
        if not self.models_:
            return np.repeat(self.log_variances(X)[:, [2]], self.horizons, axis=1)
        matrix = self.inputs(X)
        return np.column_stack([model.predict(matrix) for model in self.models_])


def _pipeline(penalty: float, rows: int) -> Pipeline:
    return make_pipeline(StandardScaler(), Ridge(alpha=penalty * rows, solver="cholesky"))


def _choose(matrix: Floats, target: Floats, earlier: Mask, later: Mask) -> float:
    if min(earlier.sum(), later.sum()) < LEAST_ROWS:
        return PENALTIES[-1]
    errors = []
    for penalty in PENALTIES:
        model = _pipeline(penalty, int(earlier.sum())).fit(matrix[earlier], target[earlier])
        errors.append(float(np.mean((target[later] - model.predict(matrix[later])) ** 2)))
    return PENALTIES[int(np.argmin(errors))]
