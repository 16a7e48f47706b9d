"""HAR with the market: the variance of all symbols and past returns as further inputs."""

import numpy as np
import pandas as pd

from lakehouse.forecasting.scales.ewma import ewma
from lakehouse.forecasting.scales.har import Har
from lakehouse.panel.dataset import Floats


class HarMarket(Har):
    """The regression of ``Har`` with the market's variance, the EWMA and past returns added."""

    kind = "har_market"

    def inputs(self, X: pd.DataFrame) -> Floats:
        """Inputs of the regression, shape (n, 15)."""
        own = self.log_variances(X)
        return np.concatenate(
            [own, self.market(X), ewma(own)[:, None], self.past_returns(X)], axis=1
        )
