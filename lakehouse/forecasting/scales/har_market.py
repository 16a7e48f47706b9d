"""HAR with the market: what all symbols do, and past returns, beside a symbol's own variance."""

import numpy as np
import pandas as pd

from lakehouse.forecasting.scales.ewma import ewma
from lakehouse.forecasting.scales.har import Har
from lakehouse.panel.dataset import Floats


class HarMarket(Har):
    """The ridge of ``Har`` on the market's variance, the EWMA and past returns as well."""

    kind = "har_market"

    def inputs(self, X: pd.DataFrame) -> Floats:
        """What the ridge is given, shape (n, 15)."""
        own = self.log_variances(X)
        return np.concatenate(
            [own, self.market(X), ewma(own)[:, None], self.past_returns(X)], axis=1
        )
