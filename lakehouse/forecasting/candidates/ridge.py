"""Ridge regression on standardised features and returns."""

from typing import Self

import numpy as np
import pandas as pd
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from lakehouse.forecasting.candidates.candidate import Candidate
from lakehouse.panel.dataset import Floats, Mask
from lakehouse.panel.validation import inner_split

# Multiples of the number of rows, so that penalties are comparable at any size.
PENALTIES = (0.01, 0.1, 1.0, 10.0, 100.0)
LEAST_ROWS = 50


class RidgeReturns(Candidate):
    """Ridge; the penalty is chosen on the later quarter of the training dates."""

    kind = "ridge"

    def fit(self, X: pd.DataFrame, y: Floats) -> Self:
        """Choose the penalty, then fit on all rows.

        Args:
            X: Rows of ``marts.fct_features``, n rows.
            y: Log returns over the horizon, shape (n,), finite.

        Returns:
            The fitted candidate itself.
        """
        self.remember(X, y)
        target = self.standardised(X, y)
        matrix = self.matrix(X)
        earlier, later = inner_split(X, horizon=self.horizon)
        self.penalty_ = _choose(matrix, target, earlier, later)
        self.model_ = _pipeline(self.penalty_, len(target)).fit(matrix, target)
        return self

    def predict(self, X: pd.DataFrame) -> Floats:
        """Predicted standardised return times the volatility, shape (n,)."""
        return np.asarray(self.model_.predict(self.matrix(X))) * self.volatility(X)


def _pipeline(penalty: float, rows: int) -> Pipeline:
    return make_pipeline(
        # Keep features without any value as constant columns, so that shapes do not change.
        SimpleImputer(strategy="median", keep_empty_features=True),
        StandardScaler(),
        Ridge(alpha=penalty * rows, solver="cholesky"),
    )


def _choose(matrix: Floats, target: Floats, earlier: Mask, later: Mask) -> float:
    if min(earlier.sum(), later.sum()) < LEAST_ROWS:
        return PENALTIES[-1]
    prepare = _pipeline(1.0, 1)[:-1].fit(matrix[earlier])
    seen, unseen = prepare.transform(matrix[earlier]), prepare.transform(matrix[later])
    errors = []
    for penalty in PENALTIES:
        model = Ridge(alpha=penalty * len(seen), solver="cholesky").fit(seen, target[earlier])
        errors.append(float(np.mean(np.abs(target[later] - model.predict(unseen)))))
    return PENALTIES[int(np.argmin(errors))]
