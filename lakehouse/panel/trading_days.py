"""Target dates: the h-th trading day after a forecast was made."""

from collections.abc import Collection
from datetime import date, timedelta

import numpy as np
import pandas as pd

from lakehouse.panel.dataset import Dates

SATURDAY = 5


def next_trading_days(
    as_of: date, count: int, open_days: Dates, closed_days: Collection[date] = ()
) -> list[date]:
    """The next trading days.

    Known open days come from the exchange's calendar and from days with bars. Beyond the last known
    one, every weekday counts that the calendar does not mark as closed, so an unknown holiday
    delays the real target by a day.

    Args:
        as_of: The date of the forecast.
        count: Number of days.
        open_days: Known trading days, sorted.
        closed_days: Known days without trading.

    Returns:
        ``count`` dates in ascending order.
    """
    start = int(np.searchsorted(open_days, np.datetime64(as_of, "D"), side="right"))
    found = [pd.Timestamp(day).date() for day in open_days[start : start + count]]
    day = found[-1] if found else as_of
    while len(found) < count:
        day += timedelta(days=1)
        if day.weekday() < SATURDAY and day not in closed_days:
            found.append(day)
    return found
