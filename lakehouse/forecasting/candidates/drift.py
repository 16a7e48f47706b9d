"""Drift: each symbol's mean return, shrunk towards the mean of its source."""

from typing import Self

import numpy as np
import pandas as pd

from lakehouse.forecasting.candidates.candidate import Candidate
from lakehouse.panel.dataset import Floats, symbols_of


class Drift(Candidate):
    """The random-effects mean of each symbol (DerSimonian & Laird 1986), never below zero.

    A symbol's mean return is almost all noise, so it is shrunk towards the mean of all symbols of
    its source (a market with its own currency) by the share of its variance that noise explains.
    Overlapping labels count as n/horizon independent ones. The pooled mean averages dates, because
    symbols move together within a day. A negative estimate is set to zero, because no one holds a
    share for an expected loss (Campbell & Thompson 2008).
    """

    kind = "drift"
    needs_history = False

    def fit(self, X: pd.DataFrame, y: Floats) -> Self:
        """Estimate one pooled mean per source and one mean per symbol.

        Args:
            X: Rows of ``marts.fct_features``, n rows.
            y: Log returns over the horizon, shape (n,), finite.

        Returns:
            The fitted candidate itself.
        """
        self.remember(X, y)
        rows = pd.DataFrame(
            {"source": X["source"], "name": symbols_of(X), "date": X["trade_date"], "y": y}
        )
        self.pooled_: dict[str, float] = {}
        self.means_: dict[str, float] = {}
        for source, part in rows.groupby("source", sort=True, observed=True):
            self._learn(str(source), part)
        return self

    def _learn(self, source: str, rows: pd.DataFrame) -> None:
        pooled = float(rows.groupby("date", sort=True)["y"].mean().mean())
        self.pooled_[source] = max(pooled, 0.0)
        by_symbol = rows.groupby("name", sort=True)["y"].agg(["mean", "var", "count"])
        by_symbol = by_symbol[by_symbol["count"] > 2 * self.horizon]
        noise = (by_symbol["var"] * self.horizon / by_symbol["count"]).to_numpy(dtype="float64")
        by_symbol, noise = by_symbol[noise > 0], noise[noise > 0]
        deviations = random_effects(by_symbol["mean"].to_numpy(dtype="float64"), noise)
        self.means_ |= {
            str(name): max(pooled + deviation, 0.0)
            for name, deviation in zip(by_symbol.index, deviations.tolist(), strict=True)
        }

    def predict(self, X: pd.DataFrame) -> Floats:
        """The symbol's shrunk mean, else its source's pooled mean, else zero; shape (n,)."""
        pooled = X["source"].astype(str).map(self.pooled_).fillna(0.0)
        means = symbols_of(X).map(self.means_).fillna(pooled)
        return np.asarray(means, dtype="float64")


def random_effects(means: Floats, noise: Floats) -> Floats:
    """Deviations of means from their common mean, shrunk by their noise.

    Args:
        means: One estimate per symbol, shape (k,).
        noise: Variances of the estimates, positive, shape (k,).

    Returns:
        Shrunk deviations, shape (k,); zeros for fewer than two symbols.

    Source: DerSimonian & Laird (1986), the moment estimator of the variance between groups.
    """
    if len(means) < 2:
        return np.zeros(len(means))
    weights = 1 / noise
    common = float(weights @ means / weights.sum())
    excess = float(weights @ (means - common) ** 2) - (len(means) - 1)
    between = max(excess / float(weights.sum() - (weights @ weights) / weights.sum()), 0.0)
    shrunk: Floats = between / (between + noise) * (means - common)
    return shrunk
