"""What forecasting reads from the warehouse and the lake."""

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa

from lakehouse.errors import NotEnoughData, UnknownSymbol
from lakehouse.models.set_aside import read_set_aside
from lakehouse.panel.dataset import HORIZONS, Dataset, Dates, from_arrow
from lakehouse.warehouse.builds import Snapshots, last_build

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

# The tables that features and targets are made from; the ledger's own are not among them.
SOURCES = (
    "raw.quotes",
    "raw.splits",
    "raw.dividends",
    "raw.calendar",
    "raw.securities",
    "raw.findings",
)


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
        NotEnoughData: There is none yet.
    """
    build = last_build(client)
    if build is None:
        raise NotEnoughData("The marts were never built: run 'weekahead transform' first.")
    return BuiltFrom({name: build.snapshots.get(name) for name in SOURCES}, build.models)


def read_dataset(
    client: "Client", *, marts: str = "marts", intermediate: str = "intermediate"
) -> Dataset:
    """All features and targets.

    Raises:
        NotEnoughData: There are none.
    """
    order = "ORDER BY source, symbol, trade_date"
    features = client.query_arrow(f"SELECT * FROM `{marts}`.fct_features {order}")  # noqa: S608
    names = ", ".join(f"target_{h}, variance_{h}, target_date_{h}" for h in range(1, HORIZONS + 1))
    targets = client.query_arrow(
        f"SELECT source, symbol, trade_date, {names} "  # noqa: S608
        f"FROM `{intermediate}`.int_targets {order}"
    )
    dataset = from_arrow(
        _dated(features, "trade_date"),
        _dated(targets, *(name for name in targets.column_names if "date" in name)),
        horizons=HORIZONS,
    )
    return read_set_aside(client, marts).leave_out(dataset)


def read_latest(client: "Client", symbols: tuple[str, ...] | None) -> pd.DataFrame:
    """The latest feature row of each symbol.

    Raises:
        NotEnoughData: There are no features.
        UnknownSymbol: A symbol has none.
    """
    table = client.query_arrow(
        "SELECT * FROM marts.fct_features WHERE (source, symbol, trade_date) IN ("
        "SELECT source, symbol, max(trade_date) FROM marts.fct_features GROUP BY source, symbol) "
        "ORDER BY source, symbol"
    )
    frame = from_arrow(_dated(table, "trade_date"), _no_targets(), horizons=0).frame
    return only(frame, symbols)


def read_recent(client: "Client", days: int) -> pd.DataFrame:
    """The feature rows of the latest trading days.

    Raises:
        NotEnoughData: There are no features.
    """
    table = client.query_arrow(
        "SELECT * FROM marts.fct_features WHERE trade_date IN ("
        "SELECT DISTINCT trade_date FROM marts.fct_features ORDER BY trade_date DESC "
        "LIMIT {days:UInt32}) ORDER BY source, symbol, trade_date",
        parameters={"days": days},
    )
    return from_arrow(_dated(table, "trade_date"), _no_targets(), horizons=0).frame


def only(frame: pd.DataFrame, symbols: tuple[str, ...] | None) -> pd.DataFrame:
    """The rows of some symbols.

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
    """Trading days by source: what the calendar calls open, and every day that has bars.

    A symbol whose exchange has another calendar has an entry of its own, ``source/symbol``.
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
    """Days by source that the calendar calls closed; symbols as for ``read_open_days``."""
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
    # ClickHouse sends a Date as days in 16 bits, which Arrow cannot tell from a number.
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
