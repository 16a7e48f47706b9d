"""The report's data, read from the marts with the reader's account."""

from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from lakehouse.connections.tracking import Models
from lakehouse.errors import NotEnoughData, ServiceError
from lakehouse.panel.dataset import HORIZONS
from lakehouse.platform import Platform
from lakehouse.report.money import Section, read_earned

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

Rows = list[dict[str, Any]]
SYMBOLS = 30
RECENT_BARS = 60

SYMBOL_LIST = """
SELECT DISTINCT source, symbol FROM marts.fct_forecasts WHERE is_latest
ORDER BY source, symbol LIMIT {limit:UInt32}
"""
SYMBOL_COUNT = """
SELECT uniqExact(source, symbol) AS symbols FROM marts.fct_forecasts WHERE is_latest
"""
CURRENCIES = "SELECT source, symbol, currency FROM marts.dim_symbol WHERE currency IS NOT NULL"
RECENT = (
    """
SELECT source, symbol, trade_date, adjusted_open, adjusted_high, adjusted_low, adjusted_close
FROM marts.fct_quotes
WHERE adjusted_close IS NOT NULL AND (source, symbol) IN (
    """
    + SYMBOL_LIST
    + """
)
ORDER BY source, symbol, trade_date DESC LIMIT {bars:UInt32} BY source, symbol
"""
)
HISTORY = (
    """
SELECT source, symbol, trade_date - (toDayOfWeek(trade_date) - 1) AS week,
    argMax(close, trade_date) AS as_traded, argMax(adjusted_close, trade_date) AS adjusted,
    max(is_split) AS has_split
FROM marts.fct_quotes
WHERE close IS NOT NULL AND (source, symbol) IN (
    """
    + SYMBOL_LIST
    + """
)
GROUP BY source, symbol, week ORDER BY source, symbol, week
"""
)
FORECASTS = """
SELECT f.source AS source, f.symbol AS symbol, as_of_date, target_date, horizon, last_close,
    point, lower_80, upper_80, lower_95, upper_95, q.split_factor AS split_factor
FROM marts.fct_forecasts AS f
INNER JOIN marts.fct_quotes AS q
    ON f.source = q.source AND f.symbol = q.symbol AND f.as_of_date = q.trade_date
WHERE is_latest AND point IS NOT NULL AND lower_80 IS NOT NULL AND upper_80 IS NOT NULL
    AND lower_95 IS NOT NULL AND upper_95 IS NOT NULL
ORDER BY source, symbol, horizon LIMIT {rows:UInt32}
"""
REALISED = """
SELECT source, is_simulated, horizon, count() AS forecasts, uniqExact(as_of_date) AS dates,
    sum(abs_error) / nullIf(sum(abs_error_last_price), 0) AS vs_last_price,
    sum(abs_error) / nullIf(sum(abs_error_drift), 0) AS vs_drift,
    avg(is_within_80) AS coverage_80, avg(is_within_95) AS coverage_95,
    avg(is_direction_right) AS hit_rate, avg(is_up) AS up_share
FROM marts.fct_forecast_accuracy
GROUP BY source, is_simulated, horizon ORDER BY source, is_simulated, horizon
"""
# Bins of five percentage points; the Brier score is the sum of squares over that of n.
CHANCES = """
SELECT source, is_simulated, one.1 AS event, least(floor(20 * one.2), 19) AS bin, count() AS n,
    avg(one.2) AS said, avg(one.3) AS happened, sum(pow(one.2 - one.3, 2)) AS squares
FROM (
    SELECT source, is_simulated, arrayJoin([
        ('a rise', assumeNotNull(chance_up), toFloat64(is_up)),
        ('a large move', assumeNotNull(chance_move), toFloat64(assumeNotNull(is_move)))
    ]) AS one
    FROM marts.fct_forecast_accuracy
    WHERE horizon = {horizon:UInt8} AND chance_up IS NOT NULL AND is_move IS NOT NULL
)
GROUP BY source, is_simulated, event, bin ORDER BY source, is_simulated, event DESC, bin
"""
GATE = """
SELECT decided_at, challenger_kind, serving_version, reason
FROM marts.fct_gate_decisions WHERE NOT is_dry_run ORDER BY decided_at DESC LIMIT 10
"""
LAST_DATE = "SELECT max(trade_date) AS last FROM marts.fct_features"
HEALTH = """
SELECT metric, source, subject, day, value, status, detail FROM marts.fct_data_health
WHERE metric NOT IN ('bars', 'bars_loaded') ORDER BY status = 'ok', metric, source, subject, day
LIMIT 20 BY metric
"""


@dataclass(frozen=True)
class ReportData:
    """All data on the page; rows are dictionaries by column."""

    symbols: Rows
    symbol_count: int
    recent: Rows
    history: Rows
    forecasts: Rows
    realised: Rows
    gate: Rows
    health: Rows
    snapshots: dict[str, int | None]
    champion: str = ""
    candidates: Rows = field(default_factory=list)
    currencies: dict[tuple[str, str], str] = field(default_factory=dict)
    example: str = ""
    earned: list[Section] = field(default_factory=list)
    scales: Rows = field(default_factory=list)
    chances: Rows = field(default_factory=list)


def read(platform: Platform) -> ReportData:
    """Read the marts, the lake's snapshots and the last training's figures.

    Raises:
        NotEnoughData: There are no forecasts yet.
    """
    from clickhouse_connect.driver.exceptions import ClickHouseError

    from catalog.snapshots import current_snapshots
    from lakehouse.connections.clickhouse_client import connect

    with connect(platform.settings, role="reader") as client:
        try:
            forecasts = _rows(client, FORECASTS, rows=SYMBOLS * 20)
        except ClickHouseError as error:
            # Before the first build the table does not exist, or the reader may not read it.
            if any(code in str(error) for code in ("UNKNOWN_TABLE", "UNKNOWN_DATABASE")):
                raise _nothing_yet() from error
            raise ServiceError(f"ClickHouse could not answer for the report: {error}") from error
        if not forecasts:
            raise _nothing_yet()
        champion, candidates, scales = _training(platform.models)
        return ReportData(
            symbols=_rows(client, SYMBOL_LIST, limit=SYMBOLS),
            symbol_count=int(_rows(client, SYMBOL_COUNT)[0]["symbols"]),
            recent=_rows(client, RECENT, limit=SYMBOLS, bars=RECENT_BARS),
            history=_rows(client, HISTORY, limit=SYMBOLS),
            forecasts=forecasts,
            realised=_rows(client, REALISED),
            chances=_rows(client, CHANCES, horizon=HORIZONS),
            gate=_rows(client, GATE),
            health=_rows(client, HEALTH),
            snapshots=current_snapshots(platform.lake),
            champion=champion,
            example=_example(_rows(client, LAST_DATE)[0]["last"]),
            candidates=candidates,
            scales=scales,
            earned=read_earned(client, platform.settings.forecast.cost_bps),
            currencies={
                (row["source"], row["symbol"]): row["currency"] for row in _rows(client, CURRENCIES)
            },
        )


def _rows(client: "Client", statement: str, **parameters: int) -> Rows:
    return list(client.query(statement, parameters=parameters).named_results())


def _example(last: date) -> str:
    """A range of dates for a back-fill that has come due by the last bar: half a year before it."""
    return f"{last - timedelta(days=182)}..{last - timedelta(days=10)}"


def _training(models: Models) -> tuple[str, Rows, Rows]:
    """The serving version, and walk-forward figures of point and scale models, best first."""
    from lakehouse.models import registry, training_log

    version = registry.require_champion(models)
    run_id = version.tags.get("weekahead.training_run", "")
    points, scales = (
        [
            {"kind": candidate.kind, **candidate.figures}
            for candidate in training_log.read_candidates(models, run_id, part)
        ]
        if run_id
        else []
        for part in ("point", "scale")
    )
    pair = f"{registry.version_kind(version)}, bands of {registry.version_scale(version)}"
    return f"version {version.version} ({pair})", points, scales


def _nothing_yet() -> NotEnoughData:
    return NotEnoughData("There are no forecasts to report on yet: run 'weekahead run' first.")
