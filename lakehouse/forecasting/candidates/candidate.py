"""Base class of the candidates: rows in, log returns over one horizon out."""

from typing import ClassVar, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, RegressorMixin

from lakehouse.panel.dataset import VOLATILITY, Floats, return_features

# Standardised returns are clipped here, so that a single crash does not dominate a fit.
CLIP = 5.0
# A symbol that hardly traded has a volatility near zero; this share of the typical volatility is
# its floor.
LEAST_VOLATILITY_SHARE = 0.1
LEAST_ROWS_FOR_ELASTICITY = 500
REFERENCE_VOLATILITY = 0.02
# Quantile of the training volatilities that replaces a missing one.
MISSING = 0.95


class Candidate(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """A forecaster of the log return over ``horizon`` trading days.

    ``fit`` and ``predict`` take rows of ``marts.fct_features`` (source, symbol, trade_date,
    bar_number and the features); rows passed to ``fit`` have known targets.

    Attributes:
        kind: Name in the registry of candidates.
        needs_history: Whether the drift forecasts rows with a short history instead.
    """

    kind: ClassVar[str]
    needs_history: ClassVar[bool] = True

    def __init__(self, *, horizon: int = 1, seed: int = 0) -> None:
        self.horizon = horizon
        self.seed = seed

    def fit(self, X: pd.DataFrame, y: Floats) -> Self:
        """Learn from rows and their outcomes.

        Args:
            X: Rows of ``marts.fct_features``, n rows.
            y: Log returns over the horizon, shape (n,), finite.

        Returns:
            The fitted candidate itself.
        """
        self.remember(X, y)
        return self

    def remember(self, X: pd.DataFrame, y: Floats) -> None:
        """Store what scaling needs: feature names, typical volatility and its elasticity.

        Args:
            X: Training rows, n of them.
            y: Log returns over the horizon, shape (n,).
        """
        self.features_ = return_features(X)
        volatility = X[VOLATILITY].to_numpy(dtype="float64")
        usable = np.isfinite(volatility) & (volatility > 0)
        self.typical_volatility_ = (
            float(np.median(volatility[usable])) if usable.any() else REFERENCE_VOLATILITY
        )
        # Symbols too young to have a volatility are rarely calm.
        self.young_volatility_ = (
            float(np.quantile(volatility[usable], MISSING))
            if usable.any()
            else REFERENCE_VOLATILITY
        )
        self.elasticity_ = _elasticity(volatility[usable], y[usable])

    def volatility(self, X: pd.DataFrame) -> Floats:
        """Expected size of the return over the horizon in log returns, shape (n,).

        The 21-day volatility · √horizon, shrunk towards a reference: volatility reverts to its
        mean, so tomorrow's moves grow with less than the first power of today's. The power is
        estimated on the training rows; the reference is the same for every model, so that scores of
        models trained at different times can be pooled.
        """
        daily = X[VOLATILITY].to_numpy(dtype="float64")
        daily = np.where(np.isfinite(daily), daily, self.young_volatility_)
        daily = np.maximum(daily, LEAST_VOLATILITY_SHARE * self.typical_volatility_)
        expected = REFERENCE_VOLATILITY * (daily / REFERENCE_VOLATILITY) ** self.elasticity_
        scale: Floats = expected * np.sqrt(self.horizon)
        return scale

    def standardised(self, X: pd.DataFrame, y: Floats) -> Floats:
        """Returns in units of their expected volatility, clipped at ± ``CLIP``.

        Args:
            X: Rows that give the volatility, n of them.
            y: Log returns over the horizon, shape (n,).

        Returns:
            Standardised returns without unit, shape (n,).
        """
        return np.clip(y / self.volatility(X), -CLIP, CLIP)

    def matrix(self, X: pd.DataFrame) -> Floats:
        """The features alone, shape (n, features)."""
        return X[self.features_].to_numpy(dtype="float64")

    def predict(self, X: pd.DataFrame) -> Floats:
        """Expected log returns, shape (n,)."""
        raise NotImplementedError


def _elasticity(volatility: Floats, y: Floats) -> float:
    """Slope of log |return| on log volatility, between 0.3 and 1; 1 with little data."""
    moved = y != 0
    log_volatility, size = np.log(volatility[moved]), np.log(np.abs(y[moved]))
    spread = log_volatility - log_volatility.mean() if len(size) else size
    energy = float(spread @ spread)
    if len(size) < LEAST_ROWS_FOR_ELASTICITY or energy == 0:
        return 1.0
    return float(np.clip(spread @ (size - size.mean()) / energy, 0.3, 1.0))
