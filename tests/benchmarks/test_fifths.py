"""Which fifth of the market will a stock end up in? From the bands alone, scored as in M6.

Probabilities come from draws of all symbols' distributions, five days ahead. The ranked probability
score of 0.2 for each fifth is 0.16 (Makridakis et al. 2024, the M6 competition).
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import qmc

from lakehouse.forecasting.development import develop
from lakehouse.forecasting.intervals import GRID, distribution, scores
from lakehouse.forecasting.metrics import mean_interval
from lakehouse.panel.dataset import HORIZONS, Floats
from lakehouse.settings.forecast import ForecastSettings
from tests.benchmarks.stocks import stocks

FIFTHS, UNIFORM = 5, 0.16
DRAWS = 512
LAST = HORIZONS - 1


def fifths(values: Floats) -> np.ndarray:
    """The fifth of each value among its row, 0 to 4, shape as given."""
    ranks = values.argsort(axis=-1).argsort(axis=-1)
    return ranks * FIFTHS // values.shape[-1]


def ranked_probability_score(chances: Floats, came: np.ndarray) -> float:
    """Mean over symbols of the squared differences of cumulated probabilities, over five."""
    happened = np.eye(FIFTHS)[came]
    return float(np.mean((chances - happened).cumsum(axis=1) ** 2))


@pytest.mark.timeout(1800)
def test_fifths_of_20_stocks(tmp_path: Path) -> None:
    dataset = stocks()
    kinds, kept = ("last_price", "drift"), ("deviation", "mean")
    how = ForecastSettings()
    development = develop(dataset, how, workspace=tmp_path, kinds=kinds, scales=kept)
    symbols = dataset.frame["symbol"].nunique()
    levels = qmc.Sobol(symbols, seed=0).random(DRAWS)
    for scale in kept:
        pair = development.walk.pair("drift", scale)
        actual, dates = dataset.targets[pair.rows, LAST], dataset.dates[pair.rows]
        due = dataset.target_dates[pair.rows, LAST]
        unseen = scores(dataset.targets[pair.rows], pair.returns, pair.scales)[:, LAST]
        found = []
        for number, fold in enumerate(development.folds[1:], start=1):
            past = unseen[(pair.folds < number) & (due < np.datetime64(fold.cutoff))]
            drawn = np.interp(levels, GRID, distribution(past[:, None])[0])
            inside = pd.Series(np.flatnonzero(pair.folds == number))
            for _, rows in inside.groupby(dates[inside]):
                if len(rows) == symbols and np.isfinite(actual[rows]).all():
                    moves = pair.returns[rows, LAST] + pair.scales[rows, LAST] * drawn
                    drawn_fifths = fifths(moves)
                    chances = [(drawn_fifths == fifth).mean(axis=0) for fifth in range(FIFTHS)]
                    came = fifths(actual[rows])
                    found.append(ranked_probability_score(np.stack(chances, axis=1), came))
        low, high = mean_interval(np.array(found), HORIZONS)
        print(f"\n{scale}: RPS {np.mean(found):.4f} ({low:.4f} to {high:.4f}), {len(found)} dates")
        assert high < UNIFORM
