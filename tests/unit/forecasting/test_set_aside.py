"""Severe findings leave a symbol out from a date on, and labels that reach there."""

from datetime import date, timedelta

import numpy as np
import pandas as pd

from lakehouse.models.set_aside import SetAside
from lakehouse.panel.dataset import Dataset

FIRST = date(2024, 1, 1)
SINCE = FIRST + timedelta(days=6)
NAMES = (("moex", "A"), ("yahoo", "A"), ("yahoo", "B"))


def dataset(days: int = 10) -> Dataset:
    """Three symbols on each day, with targets one and two days ahead."""
    rows = [
        (source, name, FIRST + timedelta(days=n)) for n in range(days) for source, name in NAMES
    ]
    frame = pd.DataFrame(rows, columns=["source", "symbol", "trade_date"])
    frame["trade_date"] = frame["trade_date"].astype("datetime64[ns]")
    dates = frame["trade_date"].to_numpy().astype("datetime64[D]")
    ahead = np.stack([dates + 1, dates + 2], axis=1)
    return Dataset(frame, np.ones((len(rows), 2)), ahead)


def test_rows_and_labels_from_the_date_on_are_gone() -> None:
    aside = SetAside({("yahoo", "A"): SINCE}, {("yahoo", "A"): "yahoo A: made up"})
    left = aside.leave_out(dataset())
    its = ((left.frame["source"] == "yahoo") & (left.frame["symbol"] == "A")).to_numpy()
    assert left.dates[its].max() == np.datetime64(SINCE - timedelta(days=1))
    assert (~its).sum() == 20, "its namesake and its neighbour stay"
    reach = left.target_dates >= np.datetime64(SINCE)
    assert not reach[its].any() and np.isnan(left.targets[its]).sum() == 3
    assert not np.isnan(left.targets[~its]).any()


def test_the_reason_goes_with_the_symbols_that_are_not_forecast() -> None:
    aside = SetAside({("yahoo", "A"): SINCE}, {("yahoo", "A"): "yahoo A: made up"})
    latest = dataset().frame.tail(3)
    kept, reasons = aside.split(latest)
    assert list(zip(kept["source"], kept["symbol"], strict=True)) == [("moex", "A"), ("yahoo", "B")]
    assert reasons == ("yahoo A: made up",)
    assert aside.split(dataset(3).frame)[1] == ()
