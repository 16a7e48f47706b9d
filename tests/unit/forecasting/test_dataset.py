from datetime import date

import numpy as np
import pyarrow as pa
import pytest

from lakehouse.errors import NotEnoughData
from lakehouse.panel.dataset import Dataset, from_arrow, split_arrow, to_arrow

from .conftest import make_tables


def test_order_of_rows_does_not_matter(closes, noise: Dataset) -> None:
    features, targets = make_tables(closes)
    random = np.random.default_rng(0)
    shuffled = from_arrow(
        features.take(random.permutation(features.num_rows)),
        targets.take(random.permutation(targets.num_rows)),
        horizons=5,
    )
    assert shuffled.digest() == noise.digest()


def test_digest_sees_every_value(noise: Dataset) -> None:
    targets = noise.targets.copy()
    targets[100, 3] = np.nextafter(targets[100, 3], 1)
    assert (
        Dataset(noise.frame, targets, noise.target_dates, noise.variances).digest()
        != noise.digest()
    )
    frame = noise.frame.copy()
    frame.loc[100, "ret_5"] = np.nan
    assert (
        Dataset(frame, noise.targets, noise.target_dates, noise.variances).digest()
        != noise.digest()
    )


def test_survives_the_way_to_another_process(noise: Dataset) -> None:
    assert split_arrow(to_arrow(noise)).digest() == noise.digest()


def test_target_is_the_return_to_the_target_date(noise: Dataset, closes) -> None:
    row = 1000
    symbol, day = noise.frame.symbol[row], noise.frame.trade_date[row]
    later = noise.target_dates[row, 4].astype("datetime64[ns]")
    expected = np.log(closes.loc[later, symbol] / closes.loc[day, symbol])
    assert noise.targets[row, 4] == pytest.approx(expected)


def test_labels_before_a_day_end_before_it(noise: Dataset) -> None:
    day = date(2020, 9, 1)
    known = ~np.isnan(noise.labels_before(day))
    assert known.any()
    assert (noise.target_dates[known] < np.datetime64(day)).all()


def test_as_known_on_equals_the_data_cut_off_there(build, closes) -> None:
    day = closes.index[300]
    cut = build(closes[closes.index <= day])
    assert build(closes).as_known_on(day.date()).digest() == cut.digest()


def test_no_features_is_a_clear_error(closes) -> None:
    features, targets = make_tables(closes)
    with pytest.raises(NotEnoughData, match="weekahead transform"):
        from_arrow(features.slice(0, 0), targets, horizons=5)


def test_a_day_without_targets_stays(closes) -> None:
    features, targets = make_tables(closes)
    fewer = from_arrow(features, targets.slice(5), horizons=5)
    assert len(fewer.frame) == features.num_rows
    assert np.isnan(fewer.targets).any(axis=1).sum() > 5
    assert isinstance(features, pa.Table)
