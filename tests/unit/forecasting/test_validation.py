from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.errors import NotEnoughData
from lakehouse.panel.dataset import Dataset, unique_dates
from lakehouse.panel.validation import GATE, inner_split, plan, scheme
from lakehouse.settings.forecast import ForecastSettings


@given(
    days=st.integers(200, 3000),
    folds=st.integers(2, 8),
    embargo=st.integers(0, 20),
    gate=st.integers(20, 500),
)
def test_windows_follow_each_other_up_to_the_last_date(days, folds, embargo, gate) -> None:
    dates = np.arange(days).astype("datetime64[D]")
    settings = ForecastSettings(folds=folds, embargo_days=embargo, gate_days=gate)
    found = plan(dates, settings)
    assert [fold.name for fold in found] == [*map(str, range(1, folds + 1)), GATE]
    assert found[-1].test_end == dates[-1]
    for one, other in pairwise(found):
        assert one.test_start <= one.test_end < other.test_start
        assert (other.test_start - one.test_end).days == 1
    for fold in found:
        assert (fold.test_start - fold.cutoff).days == embargo


def test_no_training_label_reaches_into_a_test_window(noise: Dataset, settings) -> None:
    dates = unique_dates(noise)
    for fold in plan(dates, settings):
        trains = ~np.isnan(noise.labels_before(fold.cutoff))
        last_label = noise.target_dates[trains].max()
        between = (dates > last_label) & (dates < np.datetime64(fold.test_start))
        assert between.sum() >= settings.embargo_days
        first_row = fold.test_rows(noise).start
        assert trains[first_row:].sum() == 0


def test_scheme_counts_what_is_used(noise: Dataset, settings) -> None:
    folds = plan(unique_dates(noise), settings)
    table = scheme(noise, folds)
    assert list(table.fold) == ["1", "2", GATE]
    assert table.train_rows.is_monotonic_increasing
    assert table.test_rows.iloc[-1] == 60 * 6
    assert (table.gap_days >= settings.embargo_days).all()


def test_too_short_a_history_is_refused() -> None:
    with pytest.raises(NotEnoughData, match="--start"):
        plan(np.arange(40).astype("datetime64[D]"), ForecastSettings())


@given(st.integers(40, 400), st.integers(1, 5))
def test_inner_split_leaves_a_gap_of_the_horizon(days, horizon) -> None:
    frame = pd.DataFrame({"trade_date": np.arange(days).astype("datetime64[ns]")})
    earlier, later = inner_split(frame, horizon=horizon)
    assert np.flatnonzero(later)[0] - np.flatnonzero(earlier)[-1] == horizon + 1
