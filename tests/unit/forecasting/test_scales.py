"""Scale models: how far a price may go."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from lakehouse.forecasting import walkforward
from lakehouse.forecasting.scales import REFERENCE, SCALES
from lakehouse.forecasting.scales.ewma import DECAY, ewma
from lakehouse.forecasting.scales.scale import WINDOWS
from lakehouse.models import registry
from lakehouse.panel.dataset import Dataset


@pytest.fixture(scope="module")
def regimes(build) -> Dataset:
    """Symbols whose volatility wanders slowly and together: something that a scale can learn."""
    random = np.random.default_rng(5)
    days, symbols = 900, 6
    level = np.zeros((days, symbols))
    for day in range(1, days):
        common, own = random.normal(0, 0.12), random.normal(0, 0.1, symbols)
        level[day] = 0.97 * level[day - 1] + common + own
    returns = 0.015 * np.exp(level / 2) * random.standard_normal((days, symbols))
    closes = pd.DataFrame(
        100 * np.exp(returns.cumsum(axis=0)),
        index=pd.bdate_range("2015-01-01", periods=days),
        columns=[f"S{number}" for number in range(symbols)],
    )
    return build(closes)


def test_the_registry_holds_a_scale_model_per_file() -> None:
    learned = {"har", "har_market", "boosting", "mean", "corrected"}
    assert set(SCALES) == {"deviation", "ewma"} | learned
    assert next(iter(SCALES)) == REFERENCE


@pytest.mark.parametrize("scale", SCALES)
def test_same_data_same_bits_and_safe_storage(noise: Dataset, settings, tmp_path, scale) -> None:
    one, other = (
        walkforward.fit(noise, "drift", noise.targets, settings, scale=scale) for _ in range(2)
    )
    predicted = one.predict(noise.inputs)
    assert np.isfinite(predicted).all()
    assert predicted.tobytes() == other.predict(noise.inputs).tobytes()
    registry.dump(one, tmp_path / "model.skops")
    loaded = registry.load_file(tmp_path / "model.skops")
    assert loaded.predict(noise.inputs).tobytes() == predicted.tobytes()
    model = SCALES[scale](horizons=3, seed=7)
    assert clone(model).get_params() == {"horizons": 3, "seed": 7}


@pytest.mark.parametrize("scale", SCALES)
def test_days_without_a_move_and_missing_windows_are_no_obstacle(noise, settings, scale) -> None:
    frame = noise.frame.copy()
    still = np.arange(len(frame)) % 3 == 0
    names = [name for name in frame if "log_variance" in name]
    frame.loc[still, names] = np.nan
    frame.loc[still, "volatility_21"] = 0.0
    dataset = Dataset(frame, noise.targets, noise.target_dates, noise.variances)
    model = walkforward.fit(dataset, "drift", dataset.targets, settings, scale=scale)
    sizes = model.forecast(dataset.inputs)[1]
    assert np.isfinite(sizes).all() and (sizes > 0).all()


@pytest.mark.parametrize("scale", [name for name in SCALES if name not in ("deviation", "ewma")])
def test_a_scale_that_learns_knows_more_than_the_last_month(regimes, settings, scale) -> None:
    """Over unseen dates its logs are nearer to what came than the 21-day deviation's."""
    end = regimes.frame["trade_date"].quantile(0.7).date()
    labels = regimes.labels_before(end)
    unseen = (regimes.dates > np.datetime64(end)) & np.isfinite(regimes.variances).all(axis=1)
    errors = {}
    for kind in (scale, "deviation"):
        model = walkforward.fit(regimes, "last_price", labels, settings, scale=kind)
        sizes = model.forecast(regimes.inputs[unseen])[1][:, 4]
        log_ratio = np.log(regimes.variances[unseen, 4]) / 2 - np.log(sizes)
        errors[kind] = np.std(log_ratio)
    assert errors[scale] < 0.99 * errors["deviation"]


@pytest.mark.parametrize("scale", ["har", "har_market", "boosting", "mean", "corrected"])
def test_days_without_a_move_count(regimes, settings, scale) -> None:
    """They are small moves: left out, a market with coarse prices would have bands too wide."""
    still = np.random.default_rng(7).random(len(regimes.frame)) < 1 / 3
    variances = regimes.variances.copy()
    variances[still] = 0.0
    levels = []
    for ahead in (regimes.variances, variances):
        dataset = Dataset(regimes.frame, regimes.targets, regimes.target_dates, ahead)
        model = walkforward.fit(dataset, "last_price", dataset.targets, settings, scale=scale)
        levels.append(model.forecast(dataset.inputs)[1][:, 0].mean())
    assert levels[1] / levels[0] == pytest.approx(2 / 3, abs=0.08)


def test_ewma_from_windows_is_near_the_exact_one() -> None:
    random = np.random.default_rng(2)
    level = np.cumsum(random.normal(0, 0.05, 2000))
    variances = np.exp(level) * random.chisquare(1, 2000)
    windows = np.column_stack([pd.Series(variances).rolling(n).mean() for n in WINDOWS])[252:]
    weights = DECAY ** np.arange(252)
    exact = [
        np.log(variances[day - 251 : day + 1][::-1] @ weights / weights.sum())
        for day in range(252, 2000)
    ]
    difference = ewma(np.log(windows)) - np.array(exact)
    assert abs(difference.mean()) < 0.1
    assert difference.std() < 0.3 * np.std(exact)


def test_young_symbols_have_a_scale_of_their_own(noise: Dataset, settings) -> None:
    plain = walkforward.fit(noise, "drift", noise.targets, settings)
    learned = walkforward.fit(noise, "drift", noise.targets, settings, scale="mean")
    young = noise.inputs[noise.inputs["bar_number"] < settings.min_history_days]
    np.testing.assert_array_equal(plain.forecast(young)[1], learned.forecast(young)[1])
