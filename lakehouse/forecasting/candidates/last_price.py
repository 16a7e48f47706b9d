"""The last price: a forecast of zero return."""

import numpy as np
import pandas as pd

from lakehouse.forecasting.candidates.candidate import Candidate
from lakehouse.panel.dataset import Floats


class LastPrice(Candidate):
    """Tomorrow's price is today's; the baseline of every other candidate."""

    kind = "last_price"
    needs_history = False

    def predict(self, X: pd.DataFrame) -> Floats:
        """Zeros, shape (n,)."""
        return np.zeros(len(X))
