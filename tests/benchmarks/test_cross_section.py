"""Does the cross-section say which stock will do better? Ranks, on the sample and on 20 stocks.

The candidate is not part of the product as long as it does not beat the drift. It is measured in
the product's walk-forward, from closes alone, beside the product's ridge with the same inputs.
"""

from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge

from lakehouse.connections.clickhouse_client import connect
from lakehouse.forecasting.candidates import CANDIDATES
from lakehouse.forecasting.candidates.candidate import CLIP, Candidate
from lakehouse.forecasting.candidates.drift import Drift
from lakehouse.forecasting.development import develop
from lakehouse.models.warehouse_data import read_dataset
from lakehouse.panel.dataset import Dataset, Floats, symbols_of
from lakehouse.panel.validation import inner_split
from lakehouse.platform import Platform
from lakehouse.settings.forecast import ForecastSettings
from tests.benchmarks.stocks import stocks

SKIPPED = 5
PENALTIES = (0.01, 0.1, 1.0, 10.0, 100.0)
INPUTS = ("momentum_126_5", "momentum_252_5", "reversal_5", "reversal_21", "beta_252")


class CrossSection(Candidate):
    """Drift plus a ridge on ranks within source and date, of the excess over the drift."""

    kind = "cross_section"

    def fit(self, X: pd.DataFrame, y: Floats) -> Self:
        self.remember(X, y)
        self.drift_ = Drift(horizon=self.horizon).fit(X, y)
        excess = np.clip((y - self.drift_.predict(X)) / self.volatility(X), -CLIP, CLIP)
        ranks = ranks_of(X)
        earlier, later = inner_split(X, horizon=self.horizon)

        def error(penalty: float) -> float:
            model = ridge(penalty, ranks[earlier], excess[earlier])
            return float(np.mean(np.abs(excess[later] - model.predict(ranks[later]))))

        self.model_ = ridge(min(PENALTIES, key=error), ranks, excess)
        return self

    def predict(self, X: pd.DataFrame) -> Floats:
        moved: Floats = self.model_.predict(ranks_of(X)) * self.volatility(X)
        return self.drift_.predict(X) + moved


def ridge(penalty: float, ranks: Floats, excess: Floats) -> Ridge:
    # Ranks are centred: without an intercept the mean remains the drift's.
    return Ridge(alpha=penalty * len(ranks), fit_intercept=False).fit(ranks, excess)


def ranks_of(X: pd.DataFrame) -> Floats:
    """Ranks within source and date from -1 to 1, shape (n, inputs); 0 where unknown."""
    of_date = X.groupby(["source", "trade_date"], sort=False)[list(INPUTS)]
    ranks = of_date.rank().sub(1) / of_date.transform("count").sub(1)
    return (2 * ranks - 1).fillna(0.0).to_numpy()


def with_cross_section(dataset: Dataset) -> Dataset:
    """The dataset with momentum that skips the last week, reversal, and the beta to its mean."""
    frame = dataset.frame.copy()
    names = symbols_of(frame)
    market = frame.groupby(["source", "trade_date"])["ret_1"].transform("mean")
    for places in frame.groupby(names).indices.values():
        rows = frame.index[places]
        ret = frame.loc[rows, "ret_1"]
        level = ret.fillna(0.0).cumsum()
        for days in (126, 252):
            frame.loc[rows, f"momentum_{days}_5"] = level.shift(SKIPPED) - level.shift(days)
        for days in (5, 21):
            frame.loc[rows, f"reversal_{days}"] = level.shift(days) - level
        beta = ret.rolling(252).cov(market[rows]) / market[rows].rolling(252).var()
        frame.loc[rows, "beta_252"] = beta
    return Dataset(frame, dataset.targets, dataset.target_dates, dataset.variances)


def measure(dataset: Dataset, folder: Path) -> pd.DataFrame:
    """Metrics of the candidate beside drift and ridge, printed, at one and five days."""
    kinds = ("last_price", "drift", "ridge", CrossSection.kind)
    development = develop(
        with_cross_section(dataset),
        ForecastSettings(),
        workspace=folder,
        kinds=kinds,
        scales=("deviation",),
    )
    table = development.table
    table = table[(table.group == "overall") & table.horizon.isin([1, 5])]
    columns = ["mae_vs_drift", "p_vs_drift", "rank_ic", "rank_ic_low", "rank_ic_high"]
    shown = table.set_index(["horizon", "candidate"])[columns]
    print("\n", shown.to_string(float_format="{:.4f}".format))
    return shown


@pytest.fixture(autouse=True)
def candidate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CANDIDATES, CrossSection.kind, CrossSection)


def test_cross_section_of_the_sample(pipeline: Platform, tmp_path: Path) -> None:
    with connect(pipeline.settings) as warehouse:
        assert_none_found(measure(read_dataset(warehouse), tmp_path))


@pytest.mark.timeout(1800)
def test_cross_section_of_20_stocks(tmp_path: Path) -> None:
    assert_none_found(measure(stocks(), tmp_path))


def assert_none_found(shown: pd.DataFrame) -> None:
    """Fails once the candidate beats the drift: then it belongs into the product."""
    assert (shown.xs(CrossSection.kind, level="candidate").p_vs_drift > 0.05).all()
