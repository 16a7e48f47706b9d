"""EWMA: recent days weigh more, with a fixed decay."""

import numpy as np
import pandas as pd

from lakehouse.forecasting.scales.scale import WINDOWS, ScaleModel, sizes
from lakehouse.panel.dataset import Floats

# The decay of RiskMetrics (J.P. Morgan 1996) for horizons beyond a day.
DECAY = 0.97


class Ewma(ScaleModel):
    """Exponentially weighted mean of the daily variance, truncated after 252 days.

    The weights are constant within each difference of windows (days 1, 2-5, 6-21, 22-63, 64-252),
    where they equal the exponential's own mean. So sums over windows suffice, which the warehouse
    computes exactly, and no state is carried from day to day.
    """

    kind = "ewma"

    def predict(self, X: pd.DataFrame) -> Floats:
        """Sizes of the moves, shape (n, horizons)."""
        logs = ewma(self.log_variances(X))
        return sizes(np.repeat(logs[:, None], self.horizons, axis=1))


def ewma(log_variances: Floats) -> Floats:
    """Log of the weighted mean variance, shape (n,), from logs over ``WINDOWS``."""
    edges = np.array((0, *WINDOWS))
    totals = np.exp(log_variances) * edges[1:]
    # Filled and floored windows can make these differences slightly negative.
    between = np.maximum(np.diff(totals, axis=1, prepend=0.0), 0.0) / np.diff(edges)
    weights = DECAY ** edges[:-1] - DECAY ** edges[1:]
    logs: Floats = np.log(between @ (weights / weights.sum()))
    return logs
