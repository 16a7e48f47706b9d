"""The training data: one row per symbol and as-of date, with features and future returns.

Rows are ordered by date first, so that a walk-forward window is a contiguous slice.
"""

import hashlib
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from lakehouse.errors import NotEnoughData

KEY = ("source", "symbol", "trade_date")
IDENTITY = (*KEY, "close", "bar_number")
VOLATILITY = "volatility_21"
LOG_VARIANCE = "log_variance_"
# Every forecast covers 1 to this number of trading days ahead.
HORIZONS = 5

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Dates = NDArray[np.datetime64]


@dataclass(frozen=True)
class Dataset:
    """Features and targets, ordered by date, source and symbol.

    Attributes:
        frame: ``source, symbol, trade_date, close, bar_number`` and the features; n rows.
        targets: Log returns of the adjusted close over 1…H bars, shape (n, H); NaN while unknown.
        target_dates: Dates on which those returns end, shape (n, H); NaT while unknown.
        variances: Sums of the daily variances up to those dates, shape (n, H); NaN while unknown,
            and everywhere if not given.
        calendar: All trading dates, sorted, if the rows are a sample; None means those of the rows.
    """

    frame: pd.DataFrame
    targets: Floats
    target_dates: Dates
    variances: Floats = field(default_factory=lambda: np.empty((0, 0)))
    calendar: Dates | None = None

    def __post_init__(self) -> None:
        """Fill in missing variances."""
        if not self.variances.size:
            object.__setattr__(self, "variances", np.full(self.targets.shape, np.nan))

    @property
    def inputs(self) -> pd.DataFrame:
        """The input of models: every column except the price."""
        return self.frame.drop(columns="close")

    @property
    def dates(self) -> Dates:
        """The as-of date of each row."""
        return self.frame["trade_date"].to_numpy().astype("datetime64[D]")

    @property
    def sources(self) -> list[str]:
        """The quote sources, in alphabetical order."""
        return sorted(set(self.frame["source"]))

    @property
    def features(self) -> list[str]:
        """Names of the features, in order."""
        return feature_names(self.frame)

    def select(self, rows: NDArray[np.intp] | Mask | slice) -> "Dataset":
        """A subset of the rows, by positions, mask or slice."""
        return Dataset(
            self.frame.iloc[rows],
            self.targets[rows],
            self.target_dates[rows],
            self.variances[rows],
            calendar=self.calendar,
        )

    def labels_before(self, day: date) -> Floats:
        """Targets known before a day, shape (n, H); the others are NaN."""
        known = self.target_dates < np.datetime64(day, "D")
        return np.where(known, self.targets, np.nan)

    def as_known_on(self, day: date) -> "Dataset":
        """The dataset as known at the close of a day, without later rows and labels."""
        last = np.datetime64(day, "D")
        past = self.select(self.dates <= last)
        known = past.target_dates <= last
        return Dataset(
            past.frame,
            np.where(known, past.targets, np.nan),
            np.where(known, past.target_dates, np.datetime64("NaT")),
            np.where(known, past.variances, np.nan),
            calendar=None if self.calendar is None else self.calendar[self.calendar <= last],
        )

    def digest(self) -> str:
        """SHA-256 over column names and all values, independent of how they are stored."""
        digest = hashlib.sha256()
        for name in self.frame.columns:
            digest.update(name.encode())
            values = self.frame[name]
            if name in ("source", "symbol"):
                digest.update("\n".join(values.astype(str)).encode())
            elif name == "trade_date":
                digest.update(self.dates.astype("int64").tobytes())
            else:
                digest.update(_canonical(values.to_numpy(dtype="float64", na_value=np.nan)))
        digest.update(_canonical(self.targets))
        digest.update(_canonical(self.variances))
        digest.update(self.target_dates.astype("int64").tobytes())
        return digest.hexdigest()


def feature_names(frame: pd.DataFrame) -> list[str]:
    """All columns that are features, in their order."""
    return [name for name in frame.columns if name not in IDENTITY]


def return_features(frame: pd.DataFrame) -> list[str]:
    """The features for point models; features of variance are for scale models only."""
    return [name for name in feature_names(frame) if LOG_VARIANCE not in name]


def from_arrow(features: pa.Table, targets: pa.Table, *, horizons: int) -> Dataset:
    """Join features and targets, ordered independently of the input order.

    Args:
        features: Rows of ``marts.fct_features``.
        targets: Rows of ``intermediate.int_targets``; missing ones give NaN.
        horizons: Number of horizons to use, H.

    Returns:
        One row per feature row.

    Raises:
        NotEnoughData: There are no features.
    """
    if not features.num_rows:
        raise NotEnoughData(
            "There are no features: run 'weekahead ingest' and 'weekahead transform' first."
        )
    frame = _ordered(features)
    names = [f"target_{h}" for h in range(1, horizons + 1)]
    dates = [f"target_date_{h}" for h in range(1, horizons + 1)]
    moves = [f"variance_{h}" for h in range(1, horizons + 1)]
    future = _ordered(targets.select([*KEY, *names, *moves, *dates]))
    joined = frame[list(KEY)].merge(
        future, on=list(KEY), how="left", validate="one_to_one", sort=False
    )
    for name in feature_names(frame):
        frame[name] = frame[name].astype("float64")
    return Dataset(
        frame,
        joined[names].to_numpy(dtype="float64", na_value=np.nan),
        joined[dates].to_numpy(dtype="datetime64[ns]").astype("datetime64[D]"),
        joined[moves].to_numpy(dtype="float64", na_value=np.nan),
    )


def to_arrow(dataset: Dataset) -> pa.Table:
    """One table of features and targets, for handing a dataset to another process."""
    table = pa.Table.from_pandas(dataset.frame, preserve_index=False)
    for h in range(dataset.targets.shape[1]):
        table = table.append_column(f"target_{h + 1}", pa.array(dataset.targets[:, h]))
        table = table.append_column(f"variance_{h + 1}", pa.array(dataset.variances[:, h]))
        table = table.append_column(f"target_date_{h + 1}", pa.array(dataset.target_dates[:, h]))
    return table


def split_arrow(table: pa.Table) -> Dataset:
    """The inverse of ``to_arrow``."""
    future = [name for name in table.column_names if name.startswith(("target_", "variance_"))]
    horizons = len(future) // 3
    features = table.drop_columns(future)
    return from_arrow(features, table.select([*KEY, *future]), horizons=horizons)


def unique_dates(dataset: Dataset) -> Dates:
    """The distinct trading dates, sorted, including those that a sample leaves out."""
    return np.unique(dataset.dates) if dataset.calendar is None else dataset.calendar


def as_date(day: np.datetime64) -> date:
    """A NumPy day as a date."""
    return pd.Timestamp(day).date()


# How well a symbol's volatility is known: not at all, poorly, well.
AGES = ("new", "young", "grown")
NEW, YOUNG, GROWN = range(len(AGES))


def ages(frame: pd.DataFrame, min_history: int) -> NDArray[np.intp]:
    """Age group of each row, by how well its volatility is known.

    Args:
        frame: Rows with ``bar_number`` and the 21-day volatility, n of them.
        min_history: Number of bars from which on a symbol is grown.

    Returns:
        NEW without a volatility, YOUNG below ``min_history`` bars, else GROWN; shape (n,).
    """
    enough = frame["bar_number"].to_numpy(dtype="float64") >= min_history
    measured = np.isfinite(frame[VOLATILITY].to_numpy(dtype="float64"))
    return np.where(measured, np.where(enough, GROWN, YOUNG), NEW)


def symbols_of(frame: pd.DataFrame) -> "pd.Series[str]":
    """A name for each row that is unique across sources."""
    return frame["source"].astype(str) + "/" + frame["symbol"].astype(str)


def _ordered(table: pa.Table) -> pd.DataFrame:
    frame = table.to_pandas(date_as_object=False)
    frame["trade_date"] = frame["trade_date"].astype("datetime64[ns]")
    order = ["trade_date", "source", "symbol"]
    ordered: pd.DataFrame = frame.sort_values(order, kind="stable", ignore_index=True)
    return ordered


def _canonical(values: Floats) -> bytes:
    # NaN has many bit patterns and zero has two; the hash must not depend on them.
    return (np.where(np.isnan(values), np.nan, values) + 0.0).tobytes()
