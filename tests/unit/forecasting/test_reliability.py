"""Are the probabilities right?"""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from lakehouse.forecasting.development import Development, develop
from lakehouse.forecasting.intervals import scores
from lakehouse.forecasting.reliability import BINS, reliability, walk_chances
from lakehouse.panel.dataset import GROWN, Dataset
from tests.unit.forecasting.conftest import make_closes

MOVE = float(np.log(1.05))


def developed(dataset: Dataset, settings, folder) -> Development:
    kinds = ("last_price", "drift")
    return develop(dataset, settings, workspace=folder, kinds=kinds, scales=("deviation", "har"))


@pytest.fixture(scope="module")
def development(noise, settings, tmp_path_factory: pytest.TempPathFactory) -> Development:
    return developed(noise, settings, tmp_path_factory.mktemp("walk"))


def test_table_is_scikit_learns() -> None:
    random = np.random.default_rng(0)
    said = random.uniform(0.2, 0.8, size=(2000, 1, 2))
    actual = np.where(random.random((2000, 1)) < said[:, :, 0], 0.1, -0.1)
    actual[::7] = np.nan
    known = np.isfinite(actual[:, 0])
    found = reliability(actual, said, MOVE)
    up = found[found.event == "up"]
    happened = actual[known, 0] > 0
    observed, predicted = calibration_curve(happened, said[known, 0, 0], n_bins=BINS)
    np.testing.assert_allclose(up.happened.astype(float), observed)
    np.testing.assert_allclose(up.said, predicted)
    assert up.n.sum() == known.sum()
    assert up.brier.iloc[0] == pytest.approx(brier_score_loss(happened, said[known, 0, 0]))
    constant = np.full(known.sum(), happened.mean())
    assert up.brier_base.iloc[0] == pytest.approx(brier_score_loss(happened, constant))
    # Every one of these moves is a large one.
    move = found[found.event == "move"]
    assert (move.happened == 1).all() and (move.brier_base == 0).all()


def test_chances_of_the_gate_are_shares_of_the_scores_before_it(development, noise) -> None:
    pair = development.results["drift"]
    said = walk_chances(noise, pair, development.folds, MOVE)
    assert np.isnan(said[pair.folds == 0]).all()
    row = int(np.flatnonzero(pair.folds == pair.folds.max())[11])
    unseen = scores(noise.targets[pair.rows], pair.returns, pair.scales)[:, 4]
    known = noise.target_dates[pair.rows, 4] < np.datetime64(development.gate.cutoff)
    past = unseen[known & (pair.ages == GROWN) & (pair.folds < pair.folds.max())]
    outcomes = pair.returns[row, 4] + past * pair.scales[row, 4]
    assert said[row, 4, 0] == pytest.approx(np.mean(outcomes > 0), abs=0.01)
    assert said[row, 4, 1] == pytest.approx(np.mean(np.abs(outcomes) > MOVE), abs=0.01)


def test_a_large_move_is_foreseen_better_than_by_its_share_and_a_rise_is_not(
    build, settings, tmp_path
) -> None:
    market = build(make_closes(days=800, symbols=12, seed=3))
    figures = developed(market, settings, tmp_path).figures("drift", "har")
    for h in (1, 5):
        assert figures[f"brier_move_h{h}"] < 0.99 * figures[f"brier_base_move_h{h}"]
        assert figures[f"brier_up_h{h}"] > 0.99 * figures[f"brier_base_up_h{h}"]


def test_later_bars_change_no_chance(build, closes, settings, tmp_path) -> None:
    found = []
    for seed in (1, 2):
        bars = closes.copy()
        later = bars.index > closes.index[-50]
        random = np.random.default_rng(seed)
        bars[later] *= np.exp(random.normal(0, 0.2, size=bars[later].shape))
        dataset = build(bars)
        development = developed(dataset, settings, tmp_path)
        pair = development.results["drift"]
        said = walk_chances(dataset, pair, development.folds, MOVE)
        found.append(said[dataset.dates[pair.rows] <= np.datetime64(closes.index[-50])])
    assert np.isfinite(found[0]).any()
    np.testing.assert_array_equal(*found)
