"""What the report shows from the marts, read as the reader account, with bounded row counts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lakehouse.errors import NotEnoughData
from lakehouse.settings import Settings
from lakehouse.warehouse.client import connect

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

Row = dict[str, Any]
Key = tuple[str, str]
CHARTED_SYMBOLS = 30
LISTED_SYMBOLS = 200
RECENT_BARS = 120
FINDINGS = 50

# ClickHouse's codes for a database and a table that do not exist, and for missing rights, which
# is what the reader is told of a database that is not there.
_MISSING = ("UNKNOWN_DATABASE", "UNKNOWN_TABLE", "ACCESS_DENIED", "code 81", "code 60", "code 497")

_SYMBOLS = """
    select source, symbol, name, currency, first_date, last_date, last_close, bars, splits,
        count() over () as symbols
    from marts.dim_symbol order by symbol, source limit {limit:UInt32}
"""
_FORECASTS = """
    with shown as (
        select source, symbol from marts.dim_symbol order by symbol, source limit {limit:UInt32}
    )
    select f.source as source, f.symbol as symbol, f.as_of_date as as_of_date,
        f.target_date as target_date, f.horizon as horizon, f.last_close as last_close,
        f.point as point, f.lower_80 as lower_80, f.upper_80 as upper_80,
        f.lower_95 as lower_95, f.upper_95 as upper_95, f.expected_return as expected_return,
        f.model_name as model_name, f.model_version as model_version,
        f.is_simulated as is_simulated, f.made_at as made_at,
        ifNull(q.split_factor, 1) as split_factor
    from marts.fct_forecasts as f
    left join marts.fct_quotes as q
        on f.source = q.source and f.symbol = q.symbol and f.as_of_date = q.trade_date
    where f.is_latest and (f.source, f.symbol) in shown
    order by symbol, source, horizon
    limit 2000
    settings join_use_nulls = 1
"""
_RECENT = """
    with shown as (
        select source, symbol from marts.dim_symbol order by symbol, source limit {limit:UInt32}
    )
    select source, symbol, trade_date, adjusted_close, adjusted_volume
    from marts.fct_quotes
    where is_traded and (source, symbol) in shown
    order by source, symbol, trade_date desc
    limit {bars:UInt32} by source, symbol
"""
_WEEKLY = """
    with shown as (
        select source, symbol from marts.dim_symbol order by symbol, source limit {limit:UInt32}
    )
    select source, symbol, max(q.trade_date) as day,
        argMax(q.close, q.trade_date) as traded, argMax(q.adjusted_close, q.trade_date) as adjusted
    from marts.fct_quotes as q
    where is_traded and (source, symbol) in shown
    group by source, symbol, toMonday(q.trade_date)
    order by source, symbol, day
    limit 100000
"""
_SPLITS = """
    with shown as (
        select source, symbol from marts.dim_symbol order by symbol, source limit {limit:UInt32}
    )
    select source, symbol, trade_date, split_ratio, close from marts.fct_quotes
    where is_split and (source, symbol) in shown
    order by source, symbol, trade_date limit 1000
"""
_GATE = """
    select * from marts.fct_gate_decisions where not is_dry_run order by decided_at desc limit 1
"""
_REALISED = """
    select source, is_simulated, horizon, count() as forecasts,
        uniqExact(symbol) as symbols, min(as_of_date) as first, max(as_of_date) as last,
        sum(abs_error) / nullIf(sum(abs_error_last_price), 0) as against_last_price,
        sum(abs_error) / nullIf(sum(abs_error_drift), 0) as against_drift,
        avg(is_within_80) as coverage_80, avg(is_within_95) as coverage_95,
        avg(is_direction_right) as hit_rate, avg(is_up) as up_share
    from marts.fct_forecast_accuracy
    group by source, is_simulated, horizon order by source, is_simulated, horizon limit 200
"""
_FINDINGS = """
    select metric, source, subject, day, value, status, detail from marts.fct_data_health
    where metric = {metric:String} order by day desc, value desc, subject limit {limit:UInt32}
"""
_REJECTS = """
    select source, subject as rule, sum(value) as total, max(day) as latest, any(detail) as example
    from marts.fct_data_health where metric = 'rejects'
    group by source, rule order by total desc limit 50
"""
_COUNTS = """
    select metric, count() as findings, countIf(status = 'warn') as warnings
    from marts.fct_data_health group by metric
"""


@dataclass(frozen=True)
class Marts:
    """Rows of the marts, each a dictionary by column name.

    Attributes:
        symbols: The first symbols by name; ``symbols`` in each row counts all of them.
        forecasts: Latest forecasts of these, one row per horizon, in prices of the as-of date.
        recent: Last bars of the charted symbols, oldest first, by source and symbol.
        weekly: Weekly closes, as traded and adjusted, of the whole history.
        splits: Bars with which splits take effect.
        gate: The last decision that was not a dry run, or None.
        realised: Accuracy of forecasts whose day has come, by source, kind and horizon.
        health: Findings by metric, newest first.
        rejects: Rejected rows by source and rule.
        counts: Number of findings and warnings by metric.
    """

    symbols: list[Row]
    forecasts: list[Row]
    recent: dict[Key, list[Row]]
    weekly: dict[Key, list[Row]]
    splits: dict[Key, list[Row]]
    gate: Row | None
    realised: list[Row]
    health: dict[str, list[Row]]
    rejects: list[Row]
    counts: dict[str, Row]


def read_marts(settings: Settings) -> Marts:
    """Read everything that the report shows.

    Raises:
        NotEnoughData: There are no marts, or no symbol in them.
        ServiceError: ClickHouse does not answer.
    """
    from clickhouse_connect.driver.exceptions import DatabaseError

    with connect(settings, role="reader") as client:
        try:
            marts = _read(client)
        except DatabaseError as error:
            if any(sign in str(error) for sign in _MISSING):
                raise NotEnoughData(
                    "There are no marts to report on yet: run 'weekahead run' first."
                ) from error
            raise
    if not marts.symbols:
        raise NotEnoughData("The marts hold no symbol yet: run 'weekahead run' first.")
    return marts


def _read(client: "Client") -> Marts:
    charted = {"limit": CHARTED_SYMBOLS}
    listed = {"limit": LISTED_SYMBOLS}
    gate = _rows(client, _GATE)
    recent = _rows(client, _RECENT, charted | {"bars": RECENT_BARS})
    return Marts(
        symbols=_rows(client, _SYMBOLS, listed),
        forecasts=_rows(client, _FORECASTS, listed),
        recent=by_symbol(recent[::-1]),
        weekly=by_symbol(_rows(client, _WEEKLY, charted)),
        splits=by_symbol(_rows(client, _SPLITS, charted)),
        gate=gate[0] if gate else None,
        realised=_rows(client, _REALISED),
        health={
            metric: _rows(client, _FINDINGS, {"metric": metric, "limit": limit})
            for metric, limit in {
                "sessions_behind": FINDINGS,
                "bars_loaded": 10,
                "missing_sessions": FINDINGS,
                "bars_on_closed_days": FINDINGS,
                "jump": FINDINGS,
                "stale_symbol": FINDINGS,
                "lake_rows": FINDINGS,
                "lake_files": FINDINGS,
                "mart_bytes": FINDINGS,
            }.items()
        },
        rejects=_rows(client, _REJECTS),
        counts={row["metric"]: row for row in _rows(client, _COUNTS)},
    )


def by_symbol(rows: list[Row]) -> dict[Key, list[Row]]:
    """Rows by source and symbol, in the order they came."""
    found: dict[Key, list[Row]] = {}
    for row in rows:
        found.setdefault((row["source"], row["symbol"]), []).append(row)
    return found


def _rows(
    client: "Client", statement: str, parameters: Mapping[str, Any] | None = None
) -> list[Row]:
    return list(client.query(statement, parameters=dict(parameters or {})).named_results())
