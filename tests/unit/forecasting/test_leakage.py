"""What a sceptic would try: the future must not matter to the past."""

import numpy as np
import pytest

from lakehouse.forecasting import walkforward
from lakehouse.forecasting.candidates import CANDIDATES
from lakehouse.forecasting.development import develop
from lakehouse.forecasting.scales import SCALES
from lakehouse.panel.dataset import Dataset, unique_dates
from lakehouse.panel.validation import plan


def with_another_future(closes, day):
    """The same bars up to a day, and entirely other ones after it."""
    changed = closes.copy()
    later = changed.index > day
    random = np.random.default_rng(99)
    changed[later] *= np.exp(random.normal(0, 0.2, size=changed[later].shape))
    return changed


@pytest.mark.parametrize("kind", CANDIDATES)
def test_bars_after_a_day_change_no_forecast_made_on_it(build, closes, settings, tmp_path, kind):
    day = plan(unique_dates(build(closes)), settings)[1].test_start
    forecasts = []
    for bars in (closes, with_another_future(closes, np.datetime64(day))):
        dataset = build(bars)
        fold = plan(unique_dates(dataset), settings)[1]
        labels = dataset.labels_before(fold.cutoff)
        model = walkforward.fit(dataset, kind, labels, settings)
        today = dataset.dates == np.datetime64(day)
        forecasts.append(model.forecast(dataset.inputs[today]))
    assert forecasts[0][0].tobytes() == forecasts[1][0].tobytes()
    assert forecasts[0][1].tobytes() == forecasts[1][1].tobytes()


@pytest.mark.parametrize("scale", SCALES)
def test_bars_after_a_day_change_no_band_made_on_it(build, closes, settings, scale):
    day = plan(unique_dates(build(closes)), settings)[1].test_start
    sizes = []
    for bars in (closes, with_another_future(closes, np.datetime64(day))):
        dataset = build(bars)
        fold = plan(unique_dates(dataset), settings)[1]
        labels = dataset.labels_before(fold.cutoff)
        model = walkforward.fit(dataset, "last_price", labels, settings, scale=scale)
        today = dataset.dates == np.datetime64(day)
        sizes.append(model.forecast(dataset.inputs[today])[1])
    assert np.isfinite(sizes[0]).all()
    assert sizes[0].tobytes() == sizes[1].tobytes()


def test_bars_after_a_day_change_no_training_row_before_it(build, closes) -> None:
    day = closes.index[250]
    one, other = build(closes), build(with_another_future(closes, day))
    assert one.digest() != other.digest()
    assert one.as_known_on(day.date()).digest() == other.as_known_on(day.date()).digest()


def test_intervals_of_a_window_know_only_scores_from_before(build, closes, settings, tmp_path):
    dataset = build(closes)
    folds = plan(unique_dates(dataset), settings)
    other = build(with_another_future(closes, np.datetime64(folds[-1].test_start)))
    bounds = []
    for data in (dataset, other):
        result = walkforward.run(data, folds, ["drift"], settings, workspace=tmp_path).pair("drift")
        bounds.append(result.bounds[result.folds == result.folds.max()])
    np.testing.assert_array_equal(*bounds)


def test_nothing_is_found_in_noise(noise: Dataset, settings, tmp_path) -> None:
    """More than 3 % less error than the last price would mean a leak."""
    table = develop(noise, settings, workspace=tmp_path).table
    overall = table[table.group == "overall"]
    assert len(overall) == 5 * len(CANDIDATES)
    assert overall.mae_vs_last_price.min() > 0.97
    assert overall.rank_ic.abs().max() < 0.15


def test_shuffled_targets_have_no_skill(signal: Dataset, settings, tmp_path) -> None:
    """Also where there is something to find, it must come from the pairing of rows and labels."""
    random = np.random.default_rng(5)
    shuffled = signal.targets.copy()
    for h in range(shuffled.shape[1]):
        known = np.flatnonzero(np.isfinite(shuffled[:, h]))
        shuffled[known, h] = shuffled[random.permutation(known), h]
    dataset = Dataset(signal.frame, shuffled, signal.target_dates, signal.variances)
    table = develop(dataset, settings, workspace=tmp_path, kinds=("last_price", "drift", "ridge"))
    overall = table.table[table.table.group == "overall"]
    assert overall.mae_vs_last_price.min() > 0.97


def test_a_symbol_that_is_delisted_still_teaches_and_is_judged_while_it_trades(
    build, closes, settings, tmp_path
) -> None:
    """Dropping what failed later would be survivorship: its past must stay in the data."""
    gone = closes.copy()
    last = closes.index[260]
    gone.loc[gone.index > last, "S0"] = np.nan
    dataset = build(gone)
    folds = plan(unique_dates(dataset), settings)
    assert folds[0].test_start < last.date() < folds[-1].test_start
    kinds = ("last_price", "drift", "ridge")
    result = develop(dataset, settings, workspace=tmp_path, kinds=kinds)
    rows = result.results["ridge"].rows
    judged = dataset.frame.iloc[rows]
    assert judged.loc[judged.symbol == "S0", "trade_date"].max() == last
    labels = dataset.labels_before(folds[-1].cutoff)
    assert np.isfinite(labels[dataset.frame.symbol == "S0", 0]).sum() == 260
    # The last bar of a symbol has no outcome, whatever the others do afterwards.
    final = (dataset.frame.symbol == "S0") & (dataset.frame.trade_date == last)
    assert np.isnan(dataset.targets[final]).all()


def test_a_correction_that_comes_later_does_not_change_what_was_known(build, closes) -> None:
    day = closes.index[200]
    corrected = closes.copy()
    corrected.loc[closes.index[201], "S1"] *= 1.5
    one, other = build(closes), build(corrected)
    assert one.as_known_on(day.date()).digest() == other.as_known_on(day.date()).digest()
    assert one.as_known_on(closes.index[201].date()).digest() != (
        other.as_known_on(closes.index[201].date()).digest()
    )
