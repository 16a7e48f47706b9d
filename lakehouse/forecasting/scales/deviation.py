"""The 21-day deviation: tomorrow is as volatile as the past month."""

import numpy as np
import pandas as pd

from lakehouse.forecasting.scales.scale import ScaleModel
from lakehouse.panel.dataset import Floats


class Deviation(ScaleModel):
    """Standard deviation of the last 21 daily returns, times √horizon; the baseline."""

    kind = "deviation"

    def predict(self, X: pd.DataFrame) -> Floats:
        """Sizes of the moves, shape (n, horizons)."""
        return self.deviation(X)[:, None] * np.sqrt(np.arange(1, self.horizons + 1))
