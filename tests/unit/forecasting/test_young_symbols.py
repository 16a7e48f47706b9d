"""Intervals of symbols whose past says little of their volatility."""

import numpy as np
import pandas as pd
import pytest

from lakehouse.forecasting import metrics, walkforward
from lakehouse.forecasting.intervals import NORMAL, bounds_by_age
from lakehouse.panel.dataset import AGES, GROWN, NEW, YOUNG, unique_dates
from lakehouse.panel.validation import plan


@pytest.fixture(scope="module")
def listings() -> pd.DataFrame:
    """Symbols of which most are listed on the way, and are wild at first."""
    random = np.random.default_rng(7)
    days, symbols = 500, 200
    age = np.arange(days)[:, None] - random.integers(-100, days - 40, symbols)[None, :]
    calm = random.uniform(0.008, 0.03, symbols)
    volatility = calm * (1 + 1.5 * np.exp(-np.maximum(age, 0) / 40))
    returns = random.standard_t(5, (days, symbols)) * volatility
    closes = pd.DataFrame(
        100 * np.exp(returns.cumsum(axis=0)),
        index=pd.bdate_range("2015-01-01", periods=days),
        columns=[f"S{number:03d}" for number in range(symbols)],
    )
    return closes.where(age >= 0)


@pytest.mark.parametrize("scale", ["deviation", "har"])
def test_coverage_holds_at_every_age(build, listings, settings, tmp_path, scale) -> None:
    dataset = build(listings)
    folds = plan(unique_dates(dataset), settings)
    kinds = ("last_price", "drift")
    walk = walkforward.run(
        dataset, folds, kinds, settings, workspace=tmp_path, scales=(scale, "deviation")
    )
    results = {kind: walk.pair(kind, scale) for kind in kinds}
    table = metrics.evaluate(dataset, results)
    rows = table[(table.group == "age") & (table.candidate == "drift")]
    assert set(rows.member) == set(AGES)
    for level, tolerance in ((80, 0.06), (95, 0.04)):
        found = rows.groupby("member")[f"coverage_{level}"].mean()
        assert found.to_numpy() == pytest.approx(np.full(3, level / 100), abs=tolerance), found


def test_few_scores_widen_and_never_narrow() -> None:
    random = np.random.default_rng(3)
    ages = np.full(2000, GROWN)
    ages[:30], ages[30:80] = NEW, YOUNG
    for spread in (0.2, 3.0):
        values = random.standard_normal((2000, 5))
        values[:80] *= spread
        new, young, grown = bounds_by_age(values, ages)
        np.testing.assert_array_equal(new, young)
        assert (np.abs(new) >= np.abs(grown)).all()
        if spread > 1:
            assert (np.abs(new) > 2 * np.abs(grown)).all()
            np.testing.assert_array_equal(new[:, 0], -new[:, 3])


def test_many_scores_speak_for_themselves() -> None:
    values = np.random.default_rng(3).standard_normal((4000, 2))
    ages = np.repeat([NEW, GROWN], 2000)
    values[:2000] *= 0.5
    new, _, grown = bounds_by_age(values, ages)
    np.testing.assert_allclose(new, grown / 2, atol=0.2)


def test_without_any_scores_the_bounds_are_those_of_the_others() -> None:
    values = np.random.default_rng(3).standard_normal((2000, 2))
    new, young, grown = bounds_by_age(values, np.full(2000, GROWN))
    assert (new == grown).all() and (young == grown).all()
    nothing = bounds_by_age(np.full((10, 2), np.nan), np.full(10, NEW))
    np.testing.assert_array_equal(nothing, np.tile(NORMAL, (3, 2, 1)))
