"""Scores of bands."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import mean_pinball_loss

from lakehouse.forecasting import walkforward
from lakehouse.forecasting.band_metrics import (
    BOUNDS,
    after_break,
    band_loss,
    crps,
    evaluate_bands,
    scores_of,
)
from lakehouse.forecasting.metrics import QUANTILES
from lakehouse.panel.dataset import Dataset, unique_dates
from lakehouse.panel.validation import plan


@pytest.fixture(scope="module")
def walk(noise: Dataset, settings, tmp_path_factory: pytest.TempPathFactory) -> walkforward.Walk:
    folds = plan(unique_dates(noise), settings)
    return walkforward.run(
        noise,
        folds,
        ["drift"],
        settings,
        workspace=tmp_path_factory.mktemp("walk"),
        scales=["deviation", "ewma"],
    )


def test_table_agrees_with_scikit_learn_and_with_its_groups(noise: Dataset, walk) -> None:
    bands = {scale: walk.pair("drift", scale) for scale in ("deviation", "ewma")}
    table = evaluate_bands(noise, bands)
    mine = table[(table.scale == "ewma") & (table.horizon == 5)]
    whole = mine[mine.group == "overall"].iloc[0]
    band = bands["ewma"]
    edges = band.returns[:, 4, None] + band.scales[:, 4, None] * band.bounds[:, 4, :]
    actual = noise.targets[band.rows, 4]
    known = np.isfinite(edges).all(axis=1) & np.isfinite(actual)
    losses = [
        mean_pinball_loss(actual[known], edges[known, place], alpha=level)
        for place, level in enumerate(BOUNDS)
    ]
    assert whole.pinball == pytest.approx(np.mean(losses))
    for group, rows in mine.groupby("group"):
        assert rows.n.sum() == whole.n, group
        assert np.average(rows.pinball, weights=rows.n) == pytest.approx(whole.pinball), group
    reference = table[table.scale == "deviation"]
    assert (reference.pinball_vs_deviation == 1).all()
    assert (reference.dm_vs_deviation == 0).all()


def test_crps_of_a_normal_forecast_is_near_the_exact_one() -> None:
    random = np.random.default_rng(0)
    actual = random.standard_normal(20_000)
    quantiles = np.tile(stats.norm.ppf(QUANTILES), (len(actual), 1))
    # Of a standard normal forecast and outcome the mean is 1/sqrt(pi).
    assert crps(actual, quantiles).mean() == pytest.approx(1 / np.sqrt(np.pi), rel=0.13)
    wrong = crps(actual, quantiles * 2).mean()
    assert wrong > crps(actual, quantiles).mean()


def test_winkler_charges_width_and_what_is_missed(noise: Dataset, walk) -> None:
    band = walk.pair("drift", "deviation")
    actual = noise.targets[band.rows, 0]
    found = scores_of(actual, band, 0)
    known = np.isfinite(found["winkler_80"])
    inside = known & (found["coverage_80"] == 1)
    np.testing.assert_array_equal(found["winkler_80"][inside], found["width_80"][inside])
    outside = known & (found["coverage_80"] == 0)
    assert (found["winkler_80"][outside] > found["width_80"][outside]).all()


def test_band_loss_weighs_horizons_alike() -> None:
    dates = np.array(["2024-01-01", "2024-01-02"], dtype="datetime64[D]")
    actual = np.array([[1.0, np.sqrt(2)], [0.0, np.nan]])
    losses = band_loss(actual, np.zeros((2, 2, 4)), dates)
    assert losses.tolist() == pytest.approx([np.mean(BOUNDS), 0.0])


def test_a_break_is_seen_as_of_its_day_and_lasts_60_sessions(build, closes) -> None:
    quiet = closes.copy()
    days = len(quiet)
    steps = np.where(np.arange(days) % 2, 0.001, -0.001)
    steps[300:] *= 20
    for symbol in quiet:
        quiet[symbol] = 100 * np.exp(np.cumsum(steps))
    dataset = build(quiet)
    marked = after_break(dataset)
    first = dataset.frame["symbol"] == quiet.columns[0]
    places = np.flatnonzero(marked[first])
    assert 300 <= places[0] <= 302
    # It stays three times as variable for longer: one break, not two.
    assert len(places) == 60


def test_one_jump_is_no_break(build, closes) -> None:
    calm = closes.copy()
    steps = np.where(np.arange(len(calm)) % 2, 0.001, -0.001)
    steps[300] = 0.006
    for symbol in calm:
        calm[symbol] = 100 * np.exp(np.cumsum(steps))
    assert not after_break(build(calm)).any()
