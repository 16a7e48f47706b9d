"""Intervals kept calibrated by outcomes."""

import numpy as np
import pandas as pd
import pytest

from lakehouse.forecasting import walkforward
from lakehouse.forecasting.adaptive import NOMINAL, Outcomes, miss_rates
from lakehouse.models.calibration import rates_for
from lakehouse.models.ledger import forecast_rows
from lakehouse.panel.dataset import GROWN, Dataset, ages

DAYS = np.arange("2020-01-01", "2024-01-01", dtype="datetime64[D]")


def outcomes_of(ranks: np.ndarray) -> Outcomes:
    """Ten outcomes a day, each known on its day."""
    known_on = np.repeat(DAYS[: len(ranks) // 10], 10)
    return Outcomes(known_on, np.zeros(len(ranks), dtype=int), ranks)


def test_before_outcomes_the_rates_are_nominal() -> None:
    nothing = outcomes_of(np.empty(0))
    np.testing.assert_array_equal(miss_rates(nothing, DAYS[:3], 2), np.tile(NOMINAL, (3, 2, 1)))


@pytest.mark.parametrize(("spread", "wider"), [(0.5, False), (1.6, True)])
def test_rates_move_against_the_misses_that_were_seen(spread: float, wider: bool) -> None:
    from scipy.stats import norm

    random = np.random.default_rng(1)
    ranks = norm.cdf(random.standard_normal(10_000) * spread)
    last = miss_rates(outcomes_of(ranks), DAYS[[999]], 1)[0, 0]
    assert ((last < NOMINAL) == wider).all()
    fair = miss_rates(outcomes_of(random.random(10_000)), DAYS[[999]], 1)[0, 0]
    np.testing.assert_allclose(fair, NOMINAL, rtol=0.25)


def test_an_outcome_counts_from_its_day_and_not_before() -> None:
    random = np.random.default_rng(2)
    ranks = random.random(5000)
    one = miss_rates(outcomes_of(ranks), DAYS[:500], 1)
    changed = ranks.copy()
    changed[3000:] = 0.001
    other = miss_rates(outcomes_of(changed), DAYS[:500], 1)
    assert one[:300].tobytes() == other[:300].tobytes()
    assert (other[300:] < one[300:]).any()


def test_order_does_not_matter() -> None:
    random = np.random.default_rng(3)
    made = outcomes_of(random.random(4000))
    mixed = random.permutation(4000)
    shuffled = Outcomes(made.known_on[mixed], made.groups[mixed], made.ranks[mixed])
    one, other = (miss_rates(found, DAYS[:500], 1) for found in (made, shuffled))
    assert one.tobytes() == other.tobytes()


def test_coverage_comes_back_after_a_break() -> None:
    """Scores twice as wide from one day on: plain bands stay too narrow, adapted ones do not."""
    from scipy.stats import norm

    random = np.random.default_rng(4)
    scores = random.standard_normal((1000, 10)) * np.where(np.arange(1000) < 500, 1, 2)[:, None]
    ranks = norm.cdf(scores)
    rates = miss_rates(outcomes_of(ranks.ravel()), DAYS[:1000] - 1, 1)[:, 0, 0]
    depth = 2 * np.minimum(ranks, 1 - ranks)
    plain, adapted = depth >= 0.2, depth >= rates[:, None]
    assert plain[500:].mean() < 0.55
    assert adapted[500:560].mean() > plain[500:560].mean() + 0.03
    assert adapted[700:].mean() > plain[700:].mean() + 0.1
    assert adapted[:500].mean() == pytest.approx(0.8, abs=0.02)


def test_nominal_rates_change_no_band_and_others_do(noise: Dataset, settings) -> None:
    model = walkforward.fit(noise, "drift", noise.targets, settings)
    random = np.random.default_rng(5)
    model.calibrate(random.standard_t(4, (len(noise.frame), 5)), noise.frame)
    frame = noise.inputs.tail(60)
    nothing = pd.DataFrame(columns=["source", "horizon", "known_on", "volatility_21", "score"])
    rates = rates_for(model, nothing, frame)
    plain = model.predict(frame)
    np.testing.assert_allclose(model.predict(frame, rates), plain, atol=1e-15)
    wider = model.predict(frame, rates / 2).reshape(len(frame), 5, 5)
    widths = wider[:, :, 4] - wider[:, :, 1]
    before = plain.reshape(len(frame), 5, 5)
    assert (ages(frame, settings.min_history_days) == GROWN).all()
    assert (widths > before[:, :, 4] - before[:, :, 1]).all()


def test_chances_follow_from_the_bands(noise: Dataset, settings) -> None:
    model = walkforward.fit(noise, "drift", noise.targets, settings)
    random = np.random.default_rng(6)
    model.calibrate(random.standard_t(4, (len(noise.frame), 5)), noise.frame)
    frame = noise.inputs.tail(60)
    *_, spread = forecast_rows(model, frame, None, settings)
    assert ((spread.chances >= 0) & (spread.chances <= 1)).all()
    # The lower end of the 80 % interval is where a tenth of the outcomes fall below.
    outputs = model.predict(frame).reshape(len(frame), 5, 5)
    returns, scales = model.forecast(frame)
    below = model.ranks((outputs[:, :, 2] - returns) / scales)
    np.testing.assert_allclose(below, 0.1, atol=0.01)
    # Moves grow with the horizon.
    assert (np.diff(spread.chances[:, :, 1], axis=1) > 0).mean() > 0.9
