"""Histogram gradient boosting on standardised returns."""

from typing import Self

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingRegressor

from lakehouse.forecasting.candidates.candidate import Candidate
from lakehouse.panel.dataset import Floats
from lakehouse.panel.validation import inner_split

ITERATIONS = 30
LEAST_ROWS = 50


class Boosting(Candidate):
    """A few small trees; their number is chosen on the later quarter of the training dates."""

    kind = "boosting"

    def __init__(self, *, horizon: int = 1, seed: int = 0, iterations: int | None = None) -> None:
        super().__init__(horizon=horizon, seed=seed)
        self.iterations = iterations

    def fit(self, X: pd.DataFrame, y: Floats) -> Self:
        """Choose the number of trees, then fit on all rows.

        Args:
            X: Rows of ``marts.fct_features``, n rows.
            y: Log returns over the horizon, shape (n,), finite.

        Returns:
            The fitted candidate itself.
        """
        self.remember(X, y)
        target = self.standardised(X, y)
        matrix = observed(self.matrix(X))
        earlier, later = inner_split(X, horizon=self.horizon)
        self.iterations_ = self.iterations or 1
        if self.iterations is None and min(earlier.sum(), later.sum()) >= LEAST_ROWS:
            model = booster(self.seed, int(earlier.sum()))
            model.fit(observed(matrix[earlier]), target[earlier])
            errors = [
                float(np.mean(np.abs(target[later] - staged)))
                for staged in model.staged_predict(matrix[later])
            ]
            self.iterations_ = int(np.argmin(errors)) + 1
        self.model_ = booster(self.seed, len(target), iterations=self.iterations_)
        self.model_.fit(matrix, target)
        return self

    def predict(self, X: pd.DataFrame) -> Floats:
        """Predicted standardised return times the volatility, shape (n,)."""
        return np.asarray(self.model_.predict(self.matrix(X))) * self.volatility(X)


def observed(matrix: Floats) -> Floats:
    """Training features with empty columns set to zero, because binning needs a value."""
    empty = np.isnan(matrix).all(axis=0)
    return np.where(empty, 0.0, matrix) if empty.any() else matrix


def booster(
    seed: int,
    rows: int,
    *,
    iterations: int = ITERATIONS,
    rate: float = 0.1,
    quantile: float | None = None,
) -> HistGradientBoostingRegressor:
    """An unfitted booster: shallow trees with large leaves, the same for all uses.

    Args:
        seed: Random seed.
        rows: Number of training rows; a leaf holds at least 1 % of them, and at least 20.
        iterations: Number of trees.
        rate: Learning rate.
        quantile: Level of the pinball loss; None minimises the squared error.

    Returns:
        The regressor, without early stopping.
    """
    return HistGradientBoostingRegressor(
        loss="squared_error" if quantile is None else "quantile",
        quantile=quantile,
        learning_rate=rate,
        max_iter=iterations,
        max_leaf_nodes=8,
        min_samples_leaf=max(20, rows // 100),
        l2_regularization=1.0,
        early_stopping=False,
        random_state=seed,
    )
