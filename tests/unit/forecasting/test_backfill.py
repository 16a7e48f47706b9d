from datetime import timedelta

import numpy as np
import pytest

from lakehouse.errors import NotEnoughData
from lakehouse.models.backfill import simulate, simulated_version
from lakehouse.models.ledger import forecast_rows
from lakehouse.settings.forecast import ForecastSettings


@pytest.fixture
def how(settings) -> ForecastSettings:
    return settings.model_copy(update={"backfill_selection_days": 100, "backfill_refit_days": 21})


def test_overlapping_ranges_make_the_same_forecasts(noise, how, tmp_path) -> None:
    first, last = noise.dates[-300].item(), noise.dates[-1].item()
    found = {}
    for start in (first, first + timedelta(days=20)):
        for model, rows, outcomes in simulate(noise, start, last, how, workspace=tmp_path):
            for key, values in zip(
                zip(rows.symbol, rows.trade_date, strict=True),
                forecast_rows(model, rows, outcomes, how)[0],
                strict=True,
            ):
                name = (simulated_version(model), *key)
                assert found.setdefault(name, values.tobytes()) == values.tobytes()
    assert len({name[1:] for name in found}) == len(found)


def test_forecasts_know_nothing_of_what_came_later(build, closes, how, tmp_path) -> None:
    day = closes.index[380]
    cut, whole = build(closes[closes.index <= day]), build(closes)
    results = []
    for dataset in (cut, whole):
        ((model, rows, outcomes),) = simulate(
            dataset, day.date(), day.date(), how, workspace=tmp_path
        )
        assert len(rows) == 6
        forecasts = forecast_rows(model, rows, outcomes, how)[0]
        results.append((simulated_version(model), forecasts.tobytes()))
        assert forecasts.tobytes() != model.predict(rows).tobytes()
    assert results[0] == results[1]


def test_every_date_is_forecast_by_a_model_of_its_past(noise, how, tmp_path) -> None:
    blocks = simulate(
        noise, noise.dates[-200].item(), noise.dates[-1].item(), how, workspace=tmp_path
    )
    assert len(blocks) > 1
    for model, rows, _ in blocks:
        assert rows.trade_date.min() >= np.datetime64(model.trained_on_)


def test_range_without_bars_and_without_history(noise, how, tmp_path) -> None:
    last = noise.dates[-1].item()
    with pytest.raises(NotEnoughData, match="the lake holds"):
        simulate(
            noise, last + timedelta(days=10), last + timedelta(days=20), how, workspace=tmp_path
        )
    early = noise.dates[60].item()
    with pytest.raises(NotEnoughData, match="what was known on"):
        simulate(noise, early, early, how, workspace=tmp_path)
