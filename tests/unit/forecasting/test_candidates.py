import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from lakehouse.forecasting import walkforward
from lakehouse.forecasting.candidates import BASELINES, CANDIDATES
from lakehouse.forecasting.candidates.combination import shrunk_slope
from lakehouse.forecasting.candidates.drift import Drift, random_effects
from lakehouse.forecasting.forecaster import Forecaster, output_columns
from lakehouse.models import registry
from lakehouse.panel.dataset import Dataset


def test_the_registry_holds_a_candidate_per_file() -> None:
    assert set(CANDIDATES) == {
        "last_price", "drift", "ridge", "boosting", "quantile_boosting", "combination",
    }  # fmt: skip
    assert tuple(CANDIDATES)[:2] == BASELINES


@pytest.mark.parametrize("kind", CANDIDATES)
def test_same_data_same_bits_and_safe_storage(noise: Dataset, settings, tmp_path, kind) -> None:
    one, other = (
        walkforward.fit(noise, kind, noise.targets, settings).predict(noise.inputs)
        for _ in range(2)
    )
    assert one.tobytes() == other.tobytes()
    model = walkforward.fit(noise, kind, noise.targets, settings)
    registry.dump(model, tmp_path / "model.skops")
    loaded = registry.load_file(tmp_path / "model.skops")
    assert loaded.predict(noise.inputs).tobytes() == one.tobytes()


@pytest.mark.parametrize("kind", CANDIDATES)
def test_candidates_are_estimators(kind: str) -> None:
    candidate = CANDIDATES[kind](horizon=3, seed=7)
    assert clone(candidate).get_params() == candidate.get_params()
    assert candidate.get_params().items() >= {"horizon": 3, "seed": 7}.items()


@pytest.mark.parametrize("kind", CANDIDATES)
def test_young_and_unknown_symbols_are_forecast_by_the_drift(noise, settings, kind) -> None:
    model = walkforward.fit(noise, kind, noise.targets, settings)
    rows = noise.inputs.tail(2).copy()
    rows["symbol"] = "NEW"
    rows["bar_number"] = 3
    rows[noise.features] = np.nan
    returns, scales = model.forecast(rows)
    assert np.isfinite(returns).all()
    assert (scales > 0).all()
    if CANDIDATES[kind].needs_history:
        assert returns[0, 4] == model.points_.fallbacks_[4].pooled_["test"]


def test_a_lake_of_young_symbols_only_still_trains(noise: Dataset, settings) -> None:
    young = noise.select(noise.frame.bar_number.to_numpy() < 15)
    model = walkforward.fit(young, "ridge", young.targets, settings)
    assert np.isfinite(model.predict(young.inputs)).all()


def test_missing_features_are_no_obstacle(noise: Dataset, settings) -> None:
    frame = noise.frame.copy()
    frame["volume_z_21"] = np.nan
    dataset = Dataset(frame, noise.targets, noise.target_dates, noise.variances)
    for kind in CANDIDATES:
        model = walkforward.fit(dataset, kind, dataset.targets, settings)
        assert np.isfinite(model.predict(dataset.inputs)).all(), kind


def test_outputs_are_ordered_and_named(noise: Dataset, settings) -> None:
    model = walkforward.fit(noise, "ridge", noise.targets, settings)
    out = pd.DataFrame(model.predict(noise.inputs), columns=output_columns(5))
    for h in range(1, 6):
        names = ["lower_95", "lower_80", "point", "upper_80", "upper_95"]
        values = out[[f"{name}_{h}" for name in names]].to_numpy()
        assert (np.diff(values, axis=1) > 0).all()


def test_drift_shrinks_a_lucky_symbol_to_the_others() -> None:
    means, noise = np.array([0.02, 0.001, 0.0, -0.001]), np.full(4, 1e-4)
    shrunk = random_effects(means, noise)
    assert abs(shrunk[0]) < 0.02 - means.mean()
    np.testing.assert_array_equal(random_effects(means, np.full(4, 1.0)), np.zeros(4))
    np.testing.assert_array_equal(random_effects(means[:1], noise[:1]), [0.0])


def test_drift_never_expects_a_loss(noise: Dataset) -> None:
    known = np.isfinite(noise.targets[:, 0])
    falling = -np.abs(noise.targets[known, 0])
    model = Drift(horizon=1).fit(noise.inputs[known], falling)
    assert (model.predict(noise.inputs) == 0).all()


def test_combination_is_the_drift_without_skill_and_moves_with_it(noise, signal, settings) -> None:
    models = walkforward.fit(signal, "combination", signal.targets, settings).points_.models_
    assert models[0].weight_ > 0.5
    idle = walkforward.fit(noise, "combination", noise.targets, settings).points_.models_[0]
    assert idle.weight_ == 0
    assert (idle.predict(noise.inputs) == idle.drift_.predict(noise.inputs)).all()


@pytest.mark.parametrize("kind", CANDIDATES)
def test_every_model_knows_what_the_drift_says(noise: Dataset, settings, kind: str) -> None:
    alone = walkforward.fit(noise, "drift", noise.targets, settings)
    model = walkforward.fit(noise, kind, noise.targets, settings)
    assert model.drift(noise.inputs).tobytes() == alone.forecast(noise.inputs)[0].tobytes()


def test_shrunk_slope() -> None:
    random = np.random.default_rng(0)
    dates = np.repeat(np.arange(400), 5)
    predicted = random.normal(size=2000)
    assert shrunk_slope(predicted, 0.5 * predicted, dates, 5) == pytest.approx(0.5)
    assert shrunk_slope(predicted, -predicted, dates, 5) == 0.0
    assert shrunk_slope(np.zeros(2000), predicted, dates, 5) == 0.0
    assert shrunk_slope(predicted, random.normal(size=2000), dates, 5) < 0.05


def test_forecaster_is_cloneable() -> None:
    assert clone(Forecaster(kind="ridge", seed=3)).get_params()["kind"] == "ridge"


def test_the_drift_of_one_market_does_not_reach_another(noise: Dataset) -> None:
    known = np.isfinite(noise.targets[:, 0])
    rows, rising = noise.inputs[known], np.abs(noise.targets[known, 0])
    other = rows.assign(source="elsewhere")
    model = Drift().fit(pd.concat([rows, other]), np.concatenate([rising, -rising]))
    assert (model.predict(rows) > 0).all()
    assert (model.predict(other) == 0).all()
    alone = Drift().fit(rows, rising)
    assert model.predict(rows).tobytes() == alone.predict(rows).tobytes()
