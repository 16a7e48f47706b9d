"""Walk-forward validation: expanding training, purged and embargoed test windows, a final gate.

The labels of a row reach up to five trading days into the future. A row may train a fold only if
its label ends before the fold's cutoff, which is ``embargo_days`` trading days before the start of
the test window (López de Prado, Advances in Financial Machine Learning, 2018, chapter 7).
"""

from dataclasses import dataclass
from datetime import date
from itertools import pairwise

import numpy as np
import pandas as pd

from lakehouse.errors import NotEnoughData
from lakehouse.panel.dataset import HORIZONS, Dataset, Dates, Mask, as_date, unique_dates
from lakehouse.settings.forecast import ForecastSettings

GATE = "gate"
INITIAL_SHARE = 1 / 3
LEAST_DATES_PER_WINDOW = 5


@dataclass(frozen=True)
class Fold:
    """One test window.

    Attributes:
        name: ``1``, ``2``, … or ``gate``.
        cutoff: Training labels end before this date.
        test_start: First as-of date of the window.
        test_end: Last as-of date of the window.
    """

    name: str
    cutoff: date
    test_start: date
    test_end: date

    def test_rows(self, dataset: Dataset) -> slice:
        """The window's rows; contiguous, because a dataset is ordered by date."""
        dates = dataset.dates
        first = int(np.searchsorted(dates, np.datetime64(self.test_start, "D"), side="left"))
        last = int(np.searchsorted(dates, np.datetime64(self.test_end, "D"), side="right"))
        return slice(first, last)


def plan(dates: Dates, settings: ForecastSettings) -> tuple[Fold, ...]:
    """Lay out the folds over the as-of dates; the gate comes last.

    With little history the windows shrink. The first third of the dates before the gate is only
    used for training.

    Args:
        dates: Distinct as-of dates, sorted.
        settings: Number of folds, length of the gate's window and embargo, in trading days.

    Returns:
        ``settings.folds`` folds and the gate.

    Raises:
        NotEnoughData: There are too few dates for windows of five days.
    """
    gate_days = min(settings.gate_days, len(dates) // 5)
    before = len(dates) - gate_days
    first = max(int(before * INITIAL_SHARE), settings.embargo_days + HORIZONS + 10)
    if gate_days < LEAST_DATES_PER_WINDOW or before - first < (
        settings.folds * LEAST_DATES_PER_WINDOW
    ):
        raise NotEnoughData(
            f"{len(dates)} trading days are too few for {settings.folds} test windows and a gate: "
            "ingest a longer history (--start), or lower WEEKAHEAD_FORECAST__FOLDS."
        )
    edges = [first + (before - first) * k // settings.folds for k in range(settings.folds + 1)]
    windows = list(pairwise(edges))
    windows.append((before, len(dates)))
    names = [str(number) for number in range(1, settings.folds + 1)] + [GATE]
    return tuple(
        Fold(
            name,
            cutoff=as_date(dates[start - settings.embargo_days]),
            test_start=as_date(dates[start]),
            test_end=as_date(dates[end - 1]),
        )
        for name, (start, end) in zip(names, windows, strict=True)
    )


def scheme(dataset: Dataset, folds: tuple[Fold, ...]) -> pd.DataFrame:
    """The validation scheme as a table.

    Args:
        dataset: All rows.
        folds: The plan.

    Returns:
        Dates and row counts of training, gap and test; one row per fold.
    """
    dates = unique_dates(dataset)
    rows = []
    for fold in folds:
        labels = dataset.labels_before(fold.cutoff)
        trains = ~np.isnan(labels).all(axis=1)
        train_dates = dataset.dates[trains]
        window = fold.test_rows(dataset)
        # A fold has no training rows if all labels are too recent.
        first, last = (train_dates[0], train_dates[-1]) if trains.any() else (dates[0], dates[0])
        gap = (dates > last) & (dates < np.datetime64(fold.test_start))
        rows.append(
            {
                "fold": fold.name,
                "train_start": as_date(first),
                "train_end": as_date(last),
                "labels_end_before": fold.cutoff,
                "test_start": fold.test_start,
                "test_end": fold.test_end,
                "train_rows": int(trains.sum()),
                "gap_days": int(np.count_nonzero(gap)),
                "test_rows": window.stop - window.start,
            }
        )
    return pd.DataFrame(rows)


def inner_split(frame: pd.DataFrame, *, horizon: int, share: float = 0.25) -> tuple[Mask, Mask]:
    """Split training rows by time, for choices that a candidate makes within its training data.

    Args:
        frame: Training rows with ``trade_date``, n of them.
        horizon: Trading days ahead of the labels.
        share: Share of the dates in the later part.

    Returns:
        Masks of the earlier and the later rows, shape (n,) each. ``horizon`` dates between them are
        in neither, so that no label of the earlier part reaches into the later one.
    """
    days = frame["trade_date"].to_numpy()
    dates = np.unique(days)
    start = min(max(int(len(dates) * (1 - share)), 0), len(dates) - 1)
    earlier = days < dates[max(start - horizon, 0)]
    return earlier, days >= dates[start]
