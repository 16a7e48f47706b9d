from datetime import timedelta

import numpy as np
import pytest

from lakehouse.errors import NotEnoughData
from lakehouse.models.backfill import simulate, simulated_version
from lakehouse.models.ledger import forecast_rows
from lakehouse.settings import Settings


@pytest.fixture
def all_settings(settings, tmp_path) -> Settings:
    how = settings.model_copy(update={"backfill_selection_days": 100, "backfill_refit_days": 21})
    return Settings(home=tmp_path, forecast=how, _env_file=None)  # type: ignore[call-arg]


def test_overlapping_ranges_make_the_same_forecasts(noise, all_settings) -> None:
    first, last = noise.dates[-300].item(), noise.dates[-1].item()
    found = {}
    for start in (first, first + timedelta(days=20)):
        for model, rows, outcomes in simulate(noise, start, last, all_settings):
            for key, values in zip(
                zip(rows.symbol, rows.trade_date, strict=True),
                forecast_rows(model, rows, outcomes, all_settings.forecast)[0],
                strict=True,
            ):
                name = (simulated_version(model), *key)
                assert found.setdefault(name, values.tobytes()) == values.tobytes()
    assert len({name[1:] for name in found}) == len(found)


def test_forecasts_know_nothing_of_what_came_later(build, closes, all_settings) -> None:
    day = closes.index[380]
    cut, whole = build(closes[closes.index <= day]), build(closes)
    results = []
    for dataset in (cut, whole):
        ((model, rows, outcomes),) = simulate(dataset, day.date(), day.date(), all_settings)
        assert len(rows) == 6
        forecasts = forecast_rows(model, rows, outcomes, all_settings.forecast)[0]
        results.append((simulated_version(model), forecasts.tobytes()))
        assert forecasts.tobytes() != model.predict(rows).tobytes()
    assert results[0] == results[1]


def test_every_date_is_forecast_by_a_model_of_its_past(noise, all_settings) -> None:
    blocks = simulate(noise, noise.dates[-200].item(), noise.dates[-1].item(), all_settings)
    assert len(blocks) > 1
    for model, rows, _ in blocks:
        assert rows.trade_date.min() >= np.datetime64(model.trained_on_)


def test_range_without_bars_and_without_history(noise, all_settings) -> None:
    last = noise.dates[-1].item()
    with pytest.raises(NotEnoughData, match="the lake holds"):
        simulate(noise, last + timedelta(days=10), last + timedelta(days=20), all_settings)
    early = noise.dates[60].item()
    with pytest.raises(NotEnoughData, match="what was known on"):
        simulate(noise, early, early, all_settings)
