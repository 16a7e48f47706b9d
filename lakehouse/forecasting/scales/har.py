"""HAR: variance over a day, a week, a month, a quarter and a year, weighted by a regression."""

from typing import Self

import numpy as np
import pandas as pd
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from lakehouse.forecasting.scales.scale import CLIP, ScaleModel, sizes
from lakehouse.panel.dataset import Floats, Mask
from lakehouse.panel.validation import inner_split

# Multiples of the number of rows, so that penalties are comparable at any size.
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1)
LEAST_ROWS = 50
# After so many steps the fit no longer changes bands.
STEPS = 2


class Har(ScaleModel):
    """Heterogeneous autoregression in logs (Corsi 2009), one per horizon for all symbols.

    The penalty is chosen on the later quarter of the training dates. With too few rows to learn
    from, the variance of the past month is used.
    """

    kind = "har"

    def inputs(self, X: pd.DataFrame) -> Floats:
        """Inputs of the regression, shape (n, inputs)."""
        return self.log_variances(X)

    def fit(self, X: pd.DataFrame, variances: Floats) -> Self:
        """Choose a penalty and fit a regression for each horizon.

        Args:
            X: Rows of ``marts.fct_features`` with a 21-day volatility, n rows.
            variances: Sums of the daily variances ahead, shape (n, horizons); NaN where unknown.

        Returns:
            The fitted model itself.
        """
        self.remember(X)
        matrix, targets = self.inputs(X), self.moves(X, variances)
        self.models_: list[Pipeline] = []
        for h in range(self.horizons):
            known = np.isfinite(targets[:, h])
            if known.sum() < LEAST_ROWS:
                self.models_ = []
                return self
            earlier, later = inner_split(X.loc[known, ["trade_date"]], horizon=h + 1)
            seen, target = matrix[known], targets[known, h]
            penalty = _choose(seen, target, earlier, later)
            self.models_.append(_relative(_pipeline(penalty, len(seen)), seen, target))
        return self

    def predict(self, X: pd.DataFrame) -> Floats:
        """Sizes of the moves, shape (n, horizons)."""
        return sizes(self.predict_log(X))

    def predict_log(self, X: pd.DataFrame) -> Floats:
        """Logs of the mean daily variance ahead, shape (n, horizons)."""
        if not self.models_:
            return np.repeat(self.log_variances(X)[:, [2]], self.horizons, axis=1)
        matrix = self.inputs(X)
        return 2 * np.column_stack([model.predict(matrix) for model in self.models_])


def _pipeline(penalty: float, rows: int) -> Pipeline:
    return make_pipeline(StandardScaler(), Ridge(alpha=penalty * rows, solver="cholesky"))


def _relative(model: Pipeline, matrix: Floats, target: Floats) -> Pipeline:
    """A gamma regression with a log link: the model gives the log of the mean, not the mean log.

    Its iteratively reweighted least squares have equal weights, so each step is a ridge. A target
    beyond ``CLIP`` times its mean carries no more information than one at it.

    Args:
        model: A ridge.
        matrix: Inputs, shape (n, inputs).
        target: Positive, shape (n,).

    Returns:
        The fitted model.

    Source: McCullagh & Nelder (1989), sections 2.5 and 8.3.
    """
    logs = model.fit(matrix, np.log(target)).predict(matrix)
    for _ in range(STEPS):
        ratio = np.minimum(target / np.exp(logs), CLIP)
        logs = model.fit(matrix, logs + ratio - 1).predict(matrix)
    return model


def _choose(matrix: Floats, target: Floats, earlier: Mask, later: Mask) -> float:
    if min(earlier.sum(), later.sum()) < LEAST_ROWS:
        return PENALTIES[-1]
    errors, logs = [], np.log(target)
    for penalty in PENALTIES:
        model = _pipeline(penalty, int(earlier.sum())).fit(matrix[earlier], logs[earlier])
        errors.append(float(np.mean((logs[later] - model.predict(matrix[later])) ** 2)))
    return PENALTIES[int(np.argmin(errors))]
