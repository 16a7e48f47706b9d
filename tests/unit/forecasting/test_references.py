"""Bands of the references."""

import numpy as np
import pytest

from lakehouse.forecasting import walkforward
from lakehouse.forecasting.band_metrics import BOUNDS, evaluate_bands
from lakehouse.forecasting.out_of_sample import Walk
from lakehouse.forecasting.references import historical_simulation, references
from lakehouse.panel.dataset import Dataset, unique_dates
from lakehouse.panel.validation import plan


def walked(dataset: Dataset, settings, folder) -> Walk:
    folds = plan(unique_dates(dataset), settings)
    return walkforward.run(dataset, folds, ["drift"], settings, workspace=folder)


@pytest.fixture(scope="module")
def walk(noise: Dataset, settings, tmp_path_factory: pytest.TempPathFactory) -> Walk:
    return walked(noise, settings, tmp_path_factory.mktemp("walk"))


def test_simulation_is_the_quantiles_of_a_symbols_own_known_returns(noise: Dataset, walk) -> None:
    edges = historical_simulation(walk).edges_at(4)
    gate = walk.scales["deviation"][-1]
    row = gate.start + 7
    symbol = noise.frame["symbol"].iloc[row]
    known = noise.target_dates[:, 4] < np.datetime64(gate.fold.cutoff)
    past = noise.frame["symbol"].eq(symbol).to_numpy() & known
    units = noise.frame["volatility_21"].to_numpy() * np.sqrt(5)
    scores = (noise.targets[:, 4] / units)[past]
    expected = np.nanquantile(scores, BOUNDS) * units[row]
    np.testing.assert_allclose(edges[row - walk.points["drift"][0].start], expected)


def test_the_table_has_the_references_and_plain_bands_fail_the_wild(noise: Dataset, walk) -> None:
    found = evaluate_bands(noise, {"deviation": walk.pair("drift")}, references(walk))
    last = found[found.horizon == 5]
    overall = last[last.group == "overall"].set_index("scale")
    assert set(overall.index) == {"deviation", "historical_simulation", "constant"}
    assert overall.loc["historical_simulation"].pinball_vs_deviation == pytest.approx(1, abs=0.05)
    plain = last[(last.scale == "constant") & (last.group == "volatility")].set_index("member")
    assert plain.coverage_80["high"] < 0.76 < 0.88 < plain.coverage_80["low"]
    # Every row as wide as any other, within a window and a group of age.
    assert plain.width_80["high"] == pytest.approx(plain.width_80["low"], rel=0.2)


def test_later_bars_change_no_reference(build, closes, settings, tmp_path) -> None:
    dataset = build(closes)
    start = plan(unique_dates(dataset), settings)[-1].test_start
    changed = closes.copy()
    later = changed.index > np.datetime64(start)
    changed[later] *= np.exp(np.random.default_rng(9).normal(0, 0.2, size=changed[later].shape))
    edges = []
    for data in (dataset, build(changed)):
        walk = walked(data, settings, tmp_path)
        seen = data.dates[walk.points["drift"][0].start :] <= np.datetime64(start)
        edges.append([band.edges_at(4)[seen] for band in references(walk).values()])
    np.testing.assert_array_equal(*edges)
