"""Converts a response of Yahoo's chart API (version 8) to the lake's columns.

``chart.result[0]`` has ``timestamp`` (seconds since 1970, at the open of each session) and, aligned
with it, ``indicators.quote[0].{open,high,low,close,volume}``, which may contain nulls. Prices are
divided, and volumes multiplied, by the ratios of all later splits; dividends likewise. Reversing
this gives what was traded and paid.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any

import pyarrow as pa

from lakehouse.errors import BadPayload, UnknownSymbol
from lakehouse.findings import Finding
from lakehouse.sources.columns import typed_table
from lakehouse.sources.exchanges import calendar_of
from lakehouse.sources.reader import (
    DIVIDENDS_SCHEMA,
    QUOTES_SCHEMA,
    SECURITIES_SCHEMA,
    SPLITS_SCHEMA,
    Window,
    rows_to_arrow,
)
from lakehouse.sources.yahoo.actions import (
    SOURCE,
    Payment,
    Split,
    about_splits,
    against_adjusted_close,
    as_traded,
    as_traded_volume,
    read_dividends,
    read_splits,
    see_what_is_applied,
)
from lakehouse.sources.yahoo.clock import Clock, clock_of, open_session, without_live_twin

PRICES = ("open", "high", "low", "close")
GRANULARITY = "1d"
WITHOUT_VOLUME = frozenset({"INDEX", "CURRENCY"})
# Share classes as other vendors write them, with a dot or a slash: BRK.B.
DOTTED_CLASS = re.compile(r"([A-Z]+)[./]([A-Z])")


@dataclass
class Chart:
    """The content of one response.

    Attributes:
        quotes: Bars, in the columns of ``QUOTES_SCHEMA``.
        splits: Splits, in the columns of ``SPLITS_SCHEMA``.
        dividends: Dividends, in the columns of ``DIVIDENDS_SCHEMA``.
        securities: The security, in the columns of ``SECURITIES_SCHEMA``.
        calendar: Name of the symbol's calendar.
        has_volume: Whether the instrument has a volume; indices have none.
        idle: Days without trades.
        findings: Anomalies in the data.
        rejects: Unusable events: date, reason, event.
    """

    quotes: pa.Table = field(default_factory=QUOTES_SCHEMA.empty_table)
    splits: pa.Table = field(default_factory=SPLITS_SCHEMA.empty_table)
    dividends: pa.Table = field(default_factory=DIVIDENDS_SCHEMA.empty_table)
    securities: pa.Table = field(default_factory=SECURITIES_SCHEMA.empty_table)
    calendar: str = ""
    has_volume: bool = True
    idle: set[date] = field(default_factory=set)
    findings: list[Finding] = field(default_factory=list)
    rejects: list[tuple[date | None, str, Any]] = field(default_factory=list)


def parse_chart(
    answer: Any, window: Window, *, now: datetime, where: str, calendar: str = "XNYS"
) -> Chart:
    """Parse a response.

    Args:
        answer: The decoded JSON.
        window: Symbol and dates to keep; bars of other dates are dropped.
        now: Current time; the bar of an open session is dropped.
        where: Origin, for error messages.
        calendar: Calendar of unrecognised exchanges.

    Returns:
        Tables, findings and rejects.

    Raises:
        UnknownSymbol: Yahoo does not know the symbol.
        BadPayload: The response is not in the format above, or its bars are not daily.
    """
    result = _result(answer, window.symbol, where)
    try:
        return _read(result, window, now, where, calendar)
    except (ArithmeticError, LookupError, TypeError, ValueError, AttributeError, OSError) as error:
        raise BadPayload(
            f"{where} is not a chart of version 8 ({error!r}). The next ingest reads "
            f"'{window.symbol}' again."
        ) from error


def _read(
    result: Mapping[str, Any], window: Window, now: datetime, where: str, default: str
) -> Chart:
    meta = result.get("meta") or {}
    granularity = meta.get("dataGranularity") or GRANULARITY
    if granularity != GRANULARITY:
        raise BadPayload(
            f"{where}: asked for {GRANULARITY}, got {granularity}. Yahoo has no daily bars of "
            f"'{window.symbol}' for these dates: choose a later --start, or leave it out."
        )
    kind = meta.get("instrumentType")
    chart = Chart(
        calendar=calendar_of(window.symbol, kind, meta.get("exchangeTimezoneName"), default),
        has_volume=kind not in WITHOUT_VOLUME,
        securities=_security(meta, window.symbol, clock_of(meta)),
    )
    clock = clock_of(meta)
    days = [clock.day_or_none(stamp) for stamp in result.get("timestamp") or ()]
    sent = _columns(result, days)
    events = result.get("events") or {}

    def reject(day: date | None, reason: str, event: Any) -> None:
        chart.rejects.append((day, reason, event))

    found: list[Finding] = []
    splits = see_what_is_applied(
        read_splits(events.get("splits"), clock, now.date(), reject, found.append),
        days,
        sent["close"],
    )
    payments = read_dividends(
        events.get("dividends"), clock, window, splits, now.date(), reject, found.append
    )
    found += about_splits(splits, now.date())
    found += against_adjusted_close(payments, splits, days, sent["close"], sent["adjclose"])
    chart.findings = [replace(finding, symbol=window.symbol) for finding in found]
    open_day = open_session(meta, days, clock, chart.calendar, now)
    _fill(chart, result, days, sent, splits, window, open_day)
    chart.splits = _split_rows(splits, window.symbol)
    chart.dividends = _dividend_rows(payments, window.symbol, _text(meta.get("currency")))
    return chart


def _result(answer: Any, symbol: str, where: str) -> dict[str, Any]:
    chart = answer.get("chart") if isinstance(answer, dict) else None
    if not isinstance(chart, dict):
        raise BadPayload(f"{where} answers without 'chart'.")
    if error := chart.get("error"):
        description = error.get("description") if isinstance(error, dict) else error
        raise UnknownSymbol(
            f"{SOURCE} does not know '{symbol}': {description}. {_spelling(symbol)}"
        )
    results = chart.get("result")
    if not isinstance(results, list) or not results or not isinstance(results[0], dict):
        raise BadPayload(f"{where} answers without 'chart.result'.")
    return results[0]


def _spelling(symbol: str) -> str:
    if match := DOTTED_CLASS.fullmatch(symbol):
        return f"Yahoo writes share classes with a hyphen: {match[1]}-{match[2]}."
    return "Check its spelling."


def _columns(result: Mapping[str, Any], days: Sequence[date | None]) -> dict[str, Sequence[Any]]:
    """The bars' columns, aligned with the days; the adjusted close is optional."""
    if not days:
        return dict.fromkeys((*PRICES, "volume", "adjclose"), ())
    indicators = result["indicators"]
    quote = indicators["quote"][0]
    sent = {name: quote[name] for name in PRICES}
    sent["volume"] = quote.get("volume") or [None] * len(days)
    adjusted = (indicators.get("adjclose") or [{}])[0].get("adjclose")
    sent["adjclose"] = adjusted or sent["close"]
    if any(len(values) != len(days) for values in sent.values()):
        raise ValueError("timestamps and prices differ in number")
    return sent


def _fill(
    chart: Chart,
    result: Mapping[str, Any],
    days: Sequence[date | None],
    sent: Mapping[str, Sequence[Any]],
    splits: Sequence[Split],
    window: Window,
    open_day: date | None,
) -> None:
    """Fill in the wanted bars, as traded; rows with an unreadable date go to the quality gate."""
    stamps, meta = result.get("timestamp") or (), result.get("meta") or {}
    twins = without_live_twin(days, sent["close"])
    bars = (*PRICES, "volume")
    wanted = []
    for row, day in enumerate(days):
        if row in twins or (day is not None and open_day is not None and day >= open_day):
            continue
        if day is not None and not window.holds(day):
            continue
        if any(sent[name][row] is not None for name in bars):
            wanted.append(row)
        elif day is not None:
            # A day without trades is listed with nulls only, which is not a bar.
            chart.idle.add(day)
    if not wanted:
        return
    dates = [days[row] for row in wanted]
    columns: dict[str, Sequence[Any]] = {
        "source": [SOURCE] * len(wanted),
        "symbol": [window.symbol] * len(wanted),
        "trade_date": [day or stamps[row] for day, row in zip(dates, wanted, strict=True)],
        "currency": [_text(meta.get("currency"))] * len(wanted),
        "board": [_text(meta.get("exchangeName"))] * len(wanted),
    }
    for name in bars:
        undo = as_traded_volume if name == "volume" else as_traded
        values = (sent[name][row] for row in wanted)
        columns[name] = [
            _undone(value, day, splits, undo) for value, day in zip(values, dates, strict=True)
        ]
    chart.quotes = typed_table(columns, QUOTES_SCHEMA, rows=len(wanted))


def _undone(
    value: Any, day: date | None, splits: Sequence[Split], undo: Callable[..., float]
) -> Any:
    # Pass on values that are not numbers; the quality gate rejects them by type.
    if day is None or isinstance(value, bool) or not isinstance(value, int | float):
        return value
    try:
        return undo(value, day, splits) if math.isfinite(value) else value
    except OverflowError:
        return value


def _split_rows(splits: Sequence[Split], symbol: str) -> pa.Table:
    return rows_to_arrow(
        (
            {
                "source": SOURCE,
                "symbol": symbol,
                "ex_date": split.day,
                "ratio_before": split.before,
                "ratio_after": split.after,
            }
            for split in splits
        ),
        SPLITS_SCHEMA,
    )


def _dividend_rows(payments: Sequence[Payment], symbol: str, currency: str | None) -> pa.Table:
    return rows_to_arrow(
        (
            {
                "source": SOURCE,
                "symbol": symbol,
                "record_date": payment.day,
                "amount": payment.amount,
                "currency": currency,
            }
            for payment in payments
        ),
        DIVIDENDS_SCHEMA,
    )


def _security(meta: Mapping[str, Any], symbol: str, clock: Clock) -> pa.Table:
    if not meta:
        return SECURITIES_SCHEMA.empty_table()
    row = {
        "source": SOURCE,
        "symbol": symbol,
        "name": _text(meta.get("longName")) or _text(meta.get("shortName")) or symbol,
        "currency": _text(meta.get("currency")),
        "lot_size": 1,
        "listed_from": clock.day_or_none(meta.get("firstTradeDate")),
    }
    return rows_to_arrow([row], SECURITIES_SCHEMA)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
