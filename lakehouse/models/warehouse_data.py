"""Queries through which forecasting reads the warehouse and the lake."""

from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa

from lakehouse.errors import NotEnoughData, UnknownSymbol
from lakehouse.memory import shares
from lakehouse.models.set_aside import read_set_aside
from lakehouse.panel.dataset import HORIZONS, Dataset, Dates, from_arrow
from lakehouse.panel.sampling import PARTS, Sampling, choose
from lakehouse.settings import Settings
from lakehouse.warehouse.builds import Snapshots, last_build

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

# The tables that features and targets are built from; excludes the ledger's tables.
SOURCES = (
    "raw.quotes",
    "raw.splits",
    "raw.dividends",
    "raw.calendar",
    "raw.securities",
    "raw.findings",
)
EVERYTHING = Sampling()
RECENT_ROWS = 50_000
# Peak memory per row in training: features, forecasts of all candidates, figures.
BYTES_PER_ROW = 5_000


@dataclass(frozen=True)
class BuiltFrom:
    """What the marts were last built from.

    Attributes:
        snapshots: Snapshot id by lake table, of the tables that features depend on.
        models: Hash of the dbt models.
    """

    snapshots: Snapshots
    models: str

    @property
    def quotes(self) -> int | None:
        """The snapshot of ``raw.quotes``."""
        return self.snapshots.get("raw.quotes")


def built_from(client: "Client") -> BuiltFrom:
    """The last complete build of the marts.

    Raises:
        NotEnoughData: The marts were never built.
    """
    build = last_build(client)
    if build is None:
        raise NotEnoughData("The marts were never built: run 'weekahead transform' first.")
    return BuiltFrom({name: build.snapshots.get(name) for name in SOURCES}, build.models)


def choose_sampling(client: "Client", settings: Settings) -> Sampling:
    """Choose how many rows of the marts a training uses, so that they fit into memory.

    Args:
        client: The warehouse.
        settings: Gives ``max_rows``, the memory budget and the seed.

    Returns:
        The sampling; everything if it fits.
    """
    dates = _rows_by_date(client, "marts")
    budget = min(settings.forecast.max_rows, shares(settings).training // BYTES_PER_ROW)
    return choose(sum(dates.values()), len(dates), budget=budget, seed=settings.forecast.seed)


def read_dataset(
    client: "Client",
    sampling: Sampling = EVERYTHING,
    *,
    marts: str = "marts",
    intermediate: str = "intermediate",
) -> Dataset:
    """Read features and targets of the sampled rows, one year at a time.

    Args:
        client: The warehouse.
        sampling: The rows to read.
        marts: Database of the marts.
        intermediate: Database of the intermediate models.

    Returns:
        The dataset without rows that severe findings exclude.

    Raises:
        NotEnoughData: There are no features.
    """
    dates = np.array(sorted(_rows_by_date(client, marts)), dtype="datetime64[D]")
    years = np.unique(dates.astype("datetime64[Y]")).astype(int) + 1970
    chosen = _condition(sampling, marts)
    features = [
        client.query_arrow(
            f"SELECT * FROM `{marts}`.fct_features "  # noqa: S608
            f"WHERE toYear(trade_date) = {year} AND {chosen}"
        )
        for year in years.tolist() or [0]
    ]
    names = ", ".join(f"target_{h}, variance_{h}, target_date_{h}" for h in range(1, HORIZONS + 1))
    targets = client.query_arrow(
        f"SELECT source, symbol, trade_date, {names} "  # noqa: S608
        f"FROM `{intermediate}`.int_targets WHERE {chosen}"
    )
    dataset = from_arrow(
        pa.concat_tables(_dated(table, "trade_date") for table in features),
        _dated(targets, *(name for name in targets.column_names if "date" in name)),
        horizons=HORIZONS,
    )
    if not sampling.is_everything:
        dataset = replace(dataset, calendar=dates)
    return read_set_aside(client, marts).leave_out(dataset)


def dates_after(client: "Client", day: date) -> int:
    """Count the trading dates with features after a day.

    Args:
        client: The warehouse.
        day: The date, exclusive.

    Returns:
        Number of dates.
    """
    return sum(known > day for known in _rows_by_date(client, "marts"))


def read_as_of(client: "Client", first: date, last: date) -> pd.DataFrame:
    """Read the feature rows of a range of dates, without symbols that findings exclude.

    Args:
        client: The warehouse.
        first: First date.
        last: Last date, inclusive.

    Returns:
        The rows; may be empty.
    """
    table = client.query_arrow(
        "SELECT * FROM marts.fct_features "
        "WHERE trade_date BETWEEN {first:Date32} AND {last:Date32}",
        parameters={"first": first, "last": last},
    )
    table = _dated(table, "trade_date")
    if not table.num_rows:
        empty: pd.DataFrame = table.to_pandas(date_as_object=False)
        return empty
    rows = from_arrow(table, _no_targets(), horizons=0)
    return read_set_aside(client).leave_out(rows).frame


def _rows_by_date(client: "Client", marts: str) -> dict[date, int]:
    counts = client.query(
        f"SELECT trade_date, count() FROM `{marts}`.fct_features GROUP BY trade_date"  # noqa: S608
    ).result_rows
    return {day: int(rows) for day, rows in counts}


def _condition(sampling: Sampling, marts: str) -> str:
    """The SQL condition of the sampled rows; uses only integers, so that it is exact."""
    conditions = ["true"]
    if sampling.step > 1:
        conditions.append(
            "trade_date IN (SELECT trade_date FROM (SELECT trade_date, "  # noqa: S608
            "row_number() OVER (ORDER BY trade_date) - 1 AS number "
            f"FROM (SELECT DISTINCT trade_date FROM `{marts}`.fct_features)) "
            f"WHERE number % {sampling.step} = {sampling.offset})"
        )
    if sampling.parts < PARTS:
        key = f"toString(source), toString(symbol), toInt32(trade_date), {sampling.seed}"
        conditions.append(f"sipHash64({key}) % {PARTS} < {sampling.parts}")
    return " AND ".join(conditions)


def read_latest(client: "Client", symbols: tuple[str, ...] | None) -> pd.DataFrame:
    """Read the latest feature row of each symbol.

    Args:
        client: The warehouse.
        symbols: Read only these; None reads all.

    Returns:
        One row per source and symbol.

    Raises:
        NotEnoughData: There are no features.
        UnknownSymbol: A symbol has no features.
    """
    table = client.query_arrow(
        "SELECT * FROM marts.fct_features WHERE (source, symbol, trade_date) IN ("
        "SELECT source, symbol, max(trade_date) FROM marts.fct_features GROUP BY source, symbol) "
        "ORDER BY source, symbol"
    )
    frame = from_arrow(_dated(table, "trade_date"), _no_targets(), horizons=0).frame
    return only(frame, symbols)


def read_recent(client: "Client", days: int, limit: int = RECENT_ROWS) -> pd.DataFrame:
    """Read the feature rows of the latest trading days.

    Args:
        client: The warehouse.
        days: Number of trading days.
        limit: Approximate maximum number of rows; above it, an even sample is read.

    Returns:
        The rows.

    Raises:
        NotEnoughData: There are no features.
    """
    dates = _rows_by_date(client, "marts")
    latest = sorted(dates)[-days:]
    rows = sum(dates[day] for day in latest)
    sampling = Sampling(parts=min(PARTS, limit * PARTS // max(rows, 1)))
    table = client.query_arrow(
        f"SELECT * FROM marts.fct_features WHERE trade_date >= {{first:Date32}} "  # noqa: S608
        f"AND {_condition(sampling, 'marts')}",
        parameters={"first": latest[0] if latest else date.max},
    )
    return from_arrow(_dated(table, "trade_date"), _no_targets(), horizons=0).frame


def only(frame: pd.DataFrame, symbols: tuple[str, ...] | None) -> pd.DataFrame:
    """Keep the rows of some symbols.

    Args:
        frame: Rows with the column ``symbol``.
        symbols: The symbols to keep; None keeps all.

    Returns:
        The rows with a new index.

    Raises:
        UnknownSymbol: A symbol has no rows.
    """
    if symbols is None:
        return frame
    unknown = sorted(set(symbols) - set(frame["symbol"]))
    if unknown:
        raise UnknownSymbol(
            f"No features for {', '.join(unknown)}: run 'weekahead ingest --symbols "
            f"{','.join(unknown)}' and 'weekahead transform' first."
        )
    return frame[frame["symbol"].isin(symbols)].reset_index(drop=True)


def read_open_days(client: "Client") -> dict[str, Dates]:
    """Trading days by source: open days of the calendar, and every day with bars.

    A symbol whose exchange has another calendar has its own entry, ``source/symbol``.
    """
    rows = client.query(
        "SELECT source, groupUniqArray(trade_date) FROM ("
        "SELECT source, trade_date FROM lake.`raw.calendar` WHERE is_open UNION ALL "
        "SELECT source, trade_date FROM marts.fct_features WHERE (source, symbol) NOT IN ("
        "SELECT source, symbol FROM lake.`raw.symbol_calendars`)) GROUP BY source"
    ).result_rows
    days = {str(source): np.sort(np.array(days, dtype="datetime64[D]")) for source, days in rows}
    others = _other_calendars(client)
    return days | {name: days[other] for name, other in others.items() if other in days}


def read_closed_days(client: "Client") -> dict[str, set[date]]:
    """Days that the calendar marks as closed, by source; symbols as in ``read_open_days``."""
    rows = client.query(
        "SELECT source, groupUniqArray(trade_date) FROM lake.`raw.calendar` "
        "WHERE NOT is_open GROUP BY source"
    ).result_rows
    days = {str(source): set(days) for source, days in rows}
    others = _other_calendars(client)
    return days | {name: days.get(other, set()) for name, other in others.items()}


def _other_calendars(client: "Client") -> dict[str, str]:
    rows = client.query(
        "SELECT source, symbol, calendar FROM lake.`raw.symbol_calendars` "
        "WHERE calendar IS NOT NULL"
    ).result_rows
    return {f"{source}/{symbol}": str(calendar) for source, symbol, calendar in rows}


def _dated(table: pa.Table, *columns: str) -> pa.Table:
    # ClickHouse sends a Date as a 16-bit number of days, which Arrow reads as an integer.
    for name in columns:
        column = table.column(name)
        if not pa.types.is_temporal(column.type):
            days = column.cast(pa.int32()).cast(pa.date32())
            table = table.set_column(table.column_names.index(name), name, days)
    return table


def _no_targets() -> pa.Table:
    schema = pa.schema(
        [("source", pa.string()), ("symbol", pa.string()), ("trade_date", pa.date32())]
    )
    return schema.empty_table()
