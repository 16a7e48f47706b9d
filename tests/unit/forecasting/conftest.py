"""A made-up market: random walks, with or without something to find in them."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from lakehouse.forecasting.scales.scale import WINDOWS
from lakehouse.panel.dataset import Dataset, from_arrow
from lakehouse.settings.forecast import ForecastSettings

Closes = pd.DataFrame
HORIZONS = 5


def make_closes(days: int = 420, symbols: int = 6, *, seed: int = 1, memory: float = 0.0) -> Closes:
    """Closing prices by date and symbol; ``memory`` is the autocorrelation of returns."""
    random = np.random.default_rng(seed)
    volatility = random.uniform(0.008, 0.03, symbols)
    shocks = random.standard_t(5, size=(days, symbols)) * volatility
    returns = np.zeros_like(shocks)
    for day in range(days):
        returns[day] = shocks[day] + (memory * returns[day - 1] if day else 0)
    dates = pd.bdate_range("2020-01-01", periods=days)
    names = [f"S{number}" for number in range(symbols)]
    return pd.DataFrame(100 * np.exp(returns.cumsum(axis=0)), index=dates, columns=names)


def log_of(values: pd.Series) -> np.ndarray:
    """Logs; nothing where there was no move."""
    return np.log(values.where(values > 0)).to_numpy()


def make_tables(closes: Closes) -> tuple[pa.Table, pa.Table]:
    """Features and targets as the warehouse would give them; all features look back only."""
    features, targets = [], []
    for symbol in closes:
        close = closes[symbol].dropna()
        log = np.log(close)
        head = {"source": "test", "symbol": symbol, "trade_date": close.index}
        part = pd.DataFrame(head | {"close": close.to_numpy()})
        part["bar_number"] = np.arange(1, len(close) + 1)
        part["volatility_21"] = log.diff().rolling(21).std().to_numpy()
        part["ret_1"] = log.diff().to_numpy()
        part["ret_5"] = log.diff(5).to_numpy()
        part["ret_21"] = log.diff(21).to_numpy()
        part["range_21"] = (log.rolling(21).max() - log.rolling(21).min()).to_numpy()
        squares = log.diff() ** 2
        for window in WINDOWS:
            part[f"log_variance_{window}"] = log_of(squares.rolling(window).mean())
        features.append(part)
        future = pd.DataFrame(head)
        for h in range(1, HORIZONS + 1):
            future[f"target_{h}"] = (log.shift(-h) - log).to_numpy()
            future[f"variance_{h}"] = squares.rolling(h).sum().shift(-h).to_numpy()
            future[f"target_date_{h}"] = pd.Series(close.index).shift(-h).to_numpy()
        targets.append(future)
    every = pd.concat(features, ignore_index=True)
    for window in (1, 5, 21):
        of_date = every.groupby("trade_date")[f"log_variance_{window}"]
        every[f"market_log_variance_{window}"] = of_date.transform("mean")
    features = [every]
    tables = (pd.concat(parts, ignore_index=True) for parts in (features, targets))
    one, other = (pa.Table.from_pandas(table, preserve_index=False) for table in tables)
    return one, other


def make_dataset(closes: Closes) -> Dataset:
    return from_arrow(*make_tables(closes), horizons=HORIZONS)


@pytest.fixture(scope="session")
def build() -> Callable[[Closes], Dataset]:
    return make_dataset


@pytest.fixture(scope="session")
def closes() -> Closes:
    return make_closes()


@pytest.fixture(scope="session")
def noise(closes: Closes) -> Dataset:
    """Nothing to find."""
    return make_dataset(closes)


@pytest.fixture(scope="session")
def signal() -> Dataset:
    """Returns that go on as they were: something that ridge finds."""
    return make_dataset(make_closes(memory=0.8, seed=2))


@pytest.fixture(scope="session")
def settings() -> ForecastSettings:
    return ForecastSettings(folds=2, gate_days=60)
