"""The two halves of a forecaster, fitted separately: where prices go, and how far."""

from typing import Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from lakehouse.forecasting.candidates import CANDIDATES
from lakehouse.forecasting.candidates.candidate import Candidate
from lakehouse.forecasting.scales import REFERENCE, SCALES
from lakehouse.forecasting.scales.scale import ScaleModel
from lakehouse.panel.dataset import GROWN, HORIZONS, Floats, Mask, ages

FALLBACK = "drift"


class Points(BaseEstimator):  # type: ignore[misc]
    """Where prices go: one candidate per horizon, and the drift for rows that are too young."""

    def __init__(
        self,
        *,
        kind: str = FALLBACK,
        horizons: int = HORIZONS,
        min_history: int = 60,
        seed: int = 0,
    ) -> None:
        self.kind = kind
        self.horizons = horizons
        self.min_history = min_history
        self.seed = seed

    def fit(self, X: pd.DataFrame, y: Floats) -> Self:
        """Fit one candidate per horizon.

        Args:
            X: Rows of ``marts.fct_features`` without the close, n rows.
            y: Log returns, shape (n, horizons); NaN where unknown.

        Returns:
            The fitted model itself.
        """
        candidate = CANDIDATES[self.kind]
        mature = ages(X, self.min_history) == GROWN
        self.models_: list[Candidate] = []
        self.fallbacks_ = _fit_each(FALLBACK, X, y, self.horizons, self.seed)
        for h in range(self.horizons):
            known = np.isfinite(y[:, h])
            rows = known & mature if candidate.needs_history else known
            model = candidate(horizon=h + 1, seed=self.seed)
            # Without a single mature row, only the young ones are left to learn from.
            self.models_.append(
                model.fit(X[rows], y[rows, h]) if rows.any() else self.fallbacks_[h]
            )
        return self

    def forecast(self, X: pd.DataFrame) -> Floats:
        """Expected log returns, shape (n, horizons)."""
        returns = np.empty((len(X), self.horizons))
        young = np.zeros(len(X), dtype=bool)
        if CANDIDATES[self.kind].needs_history:
            young = ages(X, self.min_history) != GROWN
        for models, rows in ((self.models_, ~young), (self.fallbacks_, young)):
            if rows.any():
                part = X if rows.all() else X[rows]
                for h in range(self.horizons):
                    returns[rows, h] = models[h].predict(part)
        return returns

    def drift(self, X: pd.DataFrame) -> Floats:
        """Forecasts of the drift fitted on the same rows: log returns, shape (n, horizons)."""
        return np.column_stack([fallback.predict(X) for fallback in self.fallbacks_])


class Scales(BaseEstimator):  # type: ignore[misc]
    """How far prices may go: a scale model, with a plain volatility for young symbols."""

    def __init__(
        self,
        *,
        kind: str = REFERENCE,
        horizons: int = HORIZONS,
        min_history: int = 60,
        seed: int = 0,
    ) -> None:
        self.kind = kind
        self.horizons = horizons
        self.min_history = min_history
        self.seed = seed

    def fit(self, X: pd.DataFrame, y: Floats, variances: Floats) -> Self:
        """Fit the scale model on grown rows.

        Args:
            X: Rows of ``marts.fct_features`` without the close, n rows.
            y: Log returns, shape (n, horizons); NaN where unknown.
            variances: Sums of the daily variances up to each horizon, shape (n, horizons).

        Returns:
            The fitted model itself.
        """
        mature = ages(X, self.min_history) == GROWN
        model = SCALES[self.kind](horizons=self.horizons, seed=self.seed)
        self.model_: ScaleModel = model.fit(X[mature], variances[mature])
        self.fallbacks_ = _fit_each("last_price", X, y, self.horizons, self.seed)
        return self

    def forecast(self, X: pd.DataFrame) -> Floats:
        """Expected size of the errors in log returns, shape (n, horizons)."""
        scales = np.empty((len(X), self.horizons))
        grown: Mask = ages(X, self.min_history) == GROWN
        if grown.any():
            scales[grown] = self.model_.predict(X[grown])
        if not grown.all():
            for h, fallback in enumerate(self.fallbacks_):
                scales[~grown, h] = fallback.volatility(X[~grown])
        return scales


def _fit_each(kind: str, X: pd.DataFrame, y: Floats, horizons: int, seed: int) -> list[Candidate]:
    """A candidate for each horizon, fitted on all rows whose outcome is known."""
    fitted = []
    for h in range(horizons):
        known = np.isfinite(y[:, h])
        fitted.append(CANDIDATES[kind](horizon=h + 1, seed=seed).fit(X[known], y[known, h]))
    return fitted
