"""A history beyond the budget: thinned, recorded, reproduced, and not trained for every new day."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from catalog.merge import merge
from catalog.tables import QUOTES
from flows.opened import opened
from lakehouse.models import registry, warehouse_data
from lakehouse.models.reproduce import reproduce
from lakehouse.models.training import _trained_already as dates_wait
from lakehouse.models.training import train
from lakehouse.panel.dataset import unique_dates
from lakehouse.panel.sampling import Sampling
from lakehouse.panel.validation import plan
from lakehouse.platform import Platform
from lakehouse.warehouse.transform import refresh
from tests.homes import copied, settings_of

BUDGET = 10_000


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, run_home: Path) -> Iterator[Platform]:
    """The sample, 12,154 bars, where a training looks at fewer."""
    home = copied(run_home, tmp_path_factory.mktemp("sampled") / "home")
    with opened(settings_of(home, forecast={"folds": 2, "max_rows": BUDGET})) as platform:
        yield platform


def test_rows_are_those_that_the_record_names_and_nothing_else_changes(small: Platform) -> None:
    sampling = Sampling(step=3, offset=1, parts=500_000, seed=5)
    everything = warehouse_data.read_dataset(small.warehouse)
    few = warehouse_data.read_dataset(small.warehouse, sampling)
    again = warehouse_data.read_dataset(small.warehouse, Sampling.from_json(sampling.to_json()))
    assert few.digest() == again.digest() != everything.digest()
    dates = unique_dates(everything)
    assert set(few.dates) <= set(dates[1::3])
    of_these_dates = everything.select(np.isin(everything.dates, dates[1::3]))
    assert 0.45 < len(few.frame) / len(of_these_dates.frame) < 0.55
    # Windows and gaps count trading days, whichever are used.
    np.testing.assert_array_equal(unique_dates(few), dates)
    assert plan(unique_dates(few), small.settings.forecast) == plan(dates, small.settings.forecast)
    key = ["source", "symbol", "trade_date"]
    where = everything.frame[key].reset_index().merge(few.frame[key], on=key)["index"].to_numpy()
    same = everything.select(where)
    np.testing.assert_array_equal(few.targets, same.targets)
    np.testing.assert_array_equal(few.target_dates, same.target_dates)
    np.testing.assert_array_equal(
        few.frame[few.features].to_numpy(float), same.frame[few.features].to_numpy(float)
    )


def test_a_thinned_training_is_recorded_reproduced_and_waits_for_new_dates(small: Platform) -> None:
    first = train(small)
    assert not first.skipped and 0.4 * 12_154 < first.rows <= BUDGET
    version = registry.get_version(small.models, str(first.challenger_version))
    recorded = Sampling.from_json(version.tags["weekahead.sampling"])
    assert recorded.step == 2
    found = reproduce(small, str(version.version))
    assert found.identical, found.differences

    catalog = small.lake
    for number, day in enumerate((dt.date(2013, 3, 4), dt.date(2013, 3, 5))):
        prices = dict.fromkeys(("open", "high", "low", "close"), 201.0 + number)
        bar = {"source": "sample", "symbol": "IBM", "trade_date": day, "volume": 10, **prices}
        assert merge(catalog, QUOTES, pa.Table.from_pylist([bar]), commit_id=f"day {day}").new == 1
        refresh(small)
        if number == 0:
            waiting = train(small)
            assert waiting.skipped and "1 new trading days of the 2" in waiting.reason
            assert waiting.run_id == first.run_id
    built = warehouse_data.built_from(small.warehouse)
    sampling = warehouse_data.choose_sampling(small.warehouse, small.settings)
    assert dates_wait(small, small.models, built, sampling) is None
