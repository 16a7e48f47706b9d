"""Base class of the scale models: rows in, size of the coming move out."""

from typing import ClassVar, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from lakehouse.panel.dataset import VOLATILITY, Floats

WINDOWS = (1, 5, 21, 63, 252)
OWN = tuple(f"log_variance_{window}" for window in WINDOWS)
MARKET = tuple(f"market_log_variance_{window}" for window in (1, 5, 21))
RETURNS = {"ret_1": 1, "ret_5": 5, "ret_21": 21}
# Moves are clipped at this many times what was expected; larger ones carry no more information.
CLIP = 5.0
# Floor of a day's variance relative to the month around it: a close that did not move does not
# mean that there was no volatility.
LEAST_LOG_SHARE = float(np.log(0.01))
# A symbol that hardly traded has a variance near zero; this share of the typical one is its floor.
LEAST_TYPICAL_SHARE = 0.01


class ScaleModel(BaseEstimator):  # type: ignore[misc]
    """A forecaster of the size of moves over 1 to ``horizons`` trading days.

    ``fit`` and ``predict`` take rows of ``marts.fct_features`` that have a 21-day volatility. Sizes
    are in log returns, like a standard deviation; their level is calibrated elsewhere.

    Attributes:
        kind: Name in the registry of scale models.
    """

    kind: ClassVar[str]

    def __init__(self, *, horizons: int = 5, seed: int = 0) -> None:
        self.horizons = horizons
        self.seed = seed

    def fit(self, X: pd.DataFrame, variances: Floats) -> Self:  # noqa: ARG002
        """Learn from rows and the variances of the following days.

        Args:
            X: Rows of ``marts.fct_features``, n rows.
            variances: Sums of the daily variances ahead, shape (n, horizons); NaN where unknown.

        Returns:
            The fitted model itself.
        """
        self.remember(X)
        return self

    def remember(self, X: pd.DataFrame) -> None:
        """Store the floor of all variances."""
        variance = X[VOLATILITY].to_numpy(dtype="float64") ** 2
        usable = variance[np.isfinite(variance) & (variance > 0)]
        typical = float(np.median(usable)) if usable.size else 4e-4
        self.log_floor_ = float(np.log(LEAST_TYPICAL_SHARE * typical))

    def predict(self, X: pd.DataFrame) -> Floats:
        """Sizes of the moves, shape (n, horizons), positive."""
        raise NotImplementedError

    def deviation(self, X: pd.DataFrame) -> Floats:
        """The 21-day deviation, shape (n,), not below the floor."""
        daily = X[VOLATILITY].to_numpy(dtype="float64")
        deviations: Floats = np.maximum(daily, np.exp(self.log_floor_ / 2))
        return deviations

    def log_variances(self, X: pd.DataFrame) -> Floats:
        """Logs of the daily variance over ``WINDOWS``, shape (n, 5), without gaps.

        An incomplete window takes the value of the next shorter one; a window without a move takes
        that of the 21-day deviation.
        """
        logs = X[list(OWN)].to_numpy(dtype="float64", copy=True)
        month = WINDOWS.index(21)
        logs[:, month] = np.where(
            np.isfinite(logs[:, month]), logs[:, month], 2 * np.log(self.deviation(X))
        )
        for window in range(month + 1, len(WINDOWS)):
            missing = ~np.isfinite(logs[:, window])
            logs[missing, window] = logs[missing, window - 1]
        least = logs[:, month] + LEAST_LOG_SHARE
        for window in range(month):
            # fmax, unlike maximum, also replaces NaN by the floor.
            logs[:, window] = np.fmax(logs[:, window], least)
        filled: Floats = np.maximum(logs, self.log_floor_)
        return filled

    def moves(self, X: pd.DataFrame, variances: Floats) -> Floats:
        """What the scale models that learn aim for: roots of the mean daily variance ahead.

        Bands scale with the mean of the roots. The mean of the logs would have to leave out days
        that did not move, of which coarse prices have many.

        Args:
            X: Rows of ``marts.fct_features``, n rows.
            variances: Sums of the daily variances ahead, shape (n, horizons); NaN where unknown.

        Returns:
            Sizes of a day in log returns, shape (n, horizons), positive: like the inputs, not below
            a share of the past month's; NaN where unknown.
        """
        days = np.arange(1, variances.shape[1] + 1)
        least = np.exp(self.log_variances(X)[:, [WINDOWS.index(21)]] + LEAST_LOG_SHARE)
        roots: Floats = np.sqrt(np.maximum(variances / days, least))
        return roots

    def market(self, X: pd.DataFrame) -> Floats:
        """Logs of the market's variance over 1, 5 and 21 days, shape (n, 3), without gaps."""
        market = X[list(MARKET)].to_numpy(dtype="float64")
        own = self.log_variances(X)[:, :3]
        return np.where(np.isfinite(market), market, own)

    def past_returns(self, X: pd.DataFrame) -> Floats:
        """Past returns in deviations, and their negative parts, shape (n, 6).

        Prices move more after a fall than after a rise of the same size (Black 1976).
        """
        columns = [
            X[name].to_numpy(dtype="float64") / (self.deviation(X) * np.sqrt(days))
            for name, days in RETURNS.items()
        ]
        returns = np.clip(np.nan_to_num(np.column_stack(columns)), -CLIP, CLIP)
        return np.concatenate([returns, np.minimum(returns, 0.0)], axis=1)


def sizes(log_daily: Floats) -> Floats:
    """Sizes of the moves from logs of the daily variance, shape (n, horizons) both."""
    days = np.arange(1, log_daily.shape[1] + 1)
    scale: Floats = np.exp(log_daily / 2) * np.sqrt(days)
    return scale
