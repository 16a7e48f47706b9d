"""From an answer of Yahoo's chart API (version 8) to the lake's columns.

``chart.result[0]`` holds ``timestamp`` (seconds since 1970, at the opening of each session) and,
aligned with it, ``indicators.quote[0].{open,high,low,close,volume}``, which may hold nulls. Prices
are divided, and volumes multiplied, by all splits that came later; dividends likewise. Multiplying
by those ratios gives what was traded and paid.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa

from lakehouse.errors import BadPayload, UnknownSymbol
from lakehouse.sources.columns import typed_table
from lakehouse.sources.reader import (
    DIVIDENDS_SCHEMA,
    QUOTES_SCHEMA,
    SECURITIES_SCHEMA,
    SPLITS_SCHEMA,
    Window,
    rows_to_arrow,
)

SOURCE = "yahoo"
PRICES = ("open", "high", "low", "close")
# Yahoo's numbers went through single precision: 109.29 arrives as 109.29000091552734.
SIGNIFICANT_DIGITS = 7


@dataclass(frozen=True)
class Chart:
    """What one answer says about a symbol, in the lake's columns."""

    quotes: pa.Table
    splits: pa.Table
    dividends: pa.Table
    securities: pa.Table


@dataclass(frozen=True)
class Split:
    """``before`` old shares became ``after`` new ones."""

    day: date
    before: float
    after: float


def parse_chart(answer: Any, window: Window, *, now: datetime, where: str) -> Chart:
    """Read an answer.

    Args:
        answer: The decoded JSON.
        window: Symbol and dates that are wanted; bars of other dates are dropped.
        now: Current time; the bar of a session that is still open is dropped.
        where: Where it came from, for error messages.

    Raises:
        UnknownSymbol: Yahoo does not know the symbol.
        BadPayload: The answer is not in the format above.
    """
    result = _result(answer, window.symbol, where)
    try:
        meta = result.get("meta") or {}
        shift = timedelta(seconds=meta.get("gmtoffset") or 0)
        days = [_day(stamp, shift) for stamp in result.get("timestamp") or ()]
        splits = _splits(result, shift)
        open_day = _open_session(meta, shift, now)
        quotes = _quotes(result, meta, days, splits, window, open_day)
        dividends = _dividends(result, meta, splits, shift, window)
    except (
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        IndexError,
        ZeroDivisionError,
    ) as error:
        raise BadPayload(f"{where} is not a chart of version 8 ({error!r}).") from error
    return Chart(
        quotes=quotes,
        splits=rows_to_arrow(
            (
                {
                    "source": SOURCE,
                    "symbol": window.symbol,
                    "ex_date": split.day,
                    "ratio_before": split.before,
                    "ratio_after": split.after,
                }
                for split in splits
            ),
            SPLITS_SCHEMA,
        ),
        dividends=dividends,
        securities=_security(meta, window.symbol, shift),
    )


def as_traded(price: float, day: date, splits: Sequence[Split]) -> float:
    """The price that was traded, from Yahoo's split-adjusted one."""
    return _rounded(price * _later(day, splits))


def as_traded_volume(volume: float, day: date, splits: Sequence[Split]) -> int:
    """The shares that were traded, from Yahoo's split-adjusted number."""
    return round(volume / _later(day, splits))


def _later(day: date, splits: Sequence[Split]) -> float:
    """How many of today's shares one share of that day has become."""
    ratio = 1.0
    for split in splits:
        if split.day > day:
            ratio *= split.after / split.before
    return ratio


def _rounded(number: float) -> float:
    return float(f"{number:.{SIGNIFICANT_DIGITS}g}")


def _result(answer: Any, symbol: str, where: str) -> dict[str, Any]:
    chart = answer.get("chart") if isinstance(answer, dict) else None
    if not isinstance(chart, dict):
        raise BadPayload(f"{where} answers without 'chart'.")
    if error := chart.get("error"):
        description = error.get("description") if isinstance(error, dict) else error
        raise UnknownSymbol(
            f"{SOURCE} does not know '{symbol}': {description}. Check its spelling."
        )
    results = chart.get("result")
    if not isinstance(results, list) or not results or not isinstance(results[0], dict):
        raise BadPayload(f"{where} answers without 'chart.result'.")
    return results[0]


def _quotes(
    result: Mapping[str, Any],
    meta: Mapping[str, Any],
    days: Sequence[date],
    splits: Sequence[Split],
    window: Window,
    open_day: date | None,
) -> pa.Table:
    if not days:
        return QUOTES_SCHEMA.empty_table()
    indicators = result["indicators"]["quote"][0]
    sent = {name: indicators[name] for name in (*PRICES, "volume")}
    if any(len(values) != len(days) for values in sent.values()):
        raise ValueError("timestamps and prices differ in number")
    # A day without any trade is listed with nulls only: there is no bar.
    wanted = [
        row
        for row, day in enumerate(days)
        if window.start <= day <= window.end
        and day != open_day
        and any(values[row] is not None for values in sent.values())
    ]
    columns: dict[str, Sequence[Any]] = {
        "source": [SOURCE] * len(wanted),
        "symbol": [window.symbol] * len(wanted),
        "trade_date": [days[row] for row in wanted],
        "volume": [
            _undone(sent["volume"][row], days[row], splits, as_traded_volume) for row in wanted
        ],
        "currency": [meta.get("currency")] * len(wanted),
        "board": [meta.get("exchangeName")] * len(wanted),
    }
    for name in PRICES:
        columns[name] = [_undone(sent[name][row], days[row], splits, as_traded) for row in wanted]
    return typed_table(columns, QUOTES_SCHEMA, rows=len(wanted))


def _undone(value: Any, day: date, splits: Sequence[Split], undo: Any) -> Any:
    # What is not a number goes on as it is; the quality gate rejects it by its type.
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return undo(value, day, splits) if number else value


def _splits(result: Mapping[str, Any], shift: timedelta) -> list[Split]:
    events = (result.get("events") or {}).get("splits") or {}
    splits = [
        Split(_day(event["date"], shift), float(event["denominator"]), float(event["numerator"]))
        for event in events.values()
    ]
    if any(split.before <= 0 or split.after <= 0 for split in splits):
        raise ValueError("a split with a ratio that is not positive")
    return sorted(splits, key=lambda split: split.day)


def _dividends(
    result: Mapping[str, Any],
    meta: Mapping[str, Any],
    splits: Sequence[Split],
    shift: timedelta,
    window: Window,
) -> pa.Table:
    events = (result.get("events") or {}).get("dividends") or {}
    paid: dict[date, float] = {}
    for event in events.values():
        day = _day(event["date"], shift)
        if window.start <= day <= window.end:
            paid[day] = paid.get(day, 0.0) + as_traded(float(event["amount"]), day, splits)
    return rows_to_arrow(
        (
            {
                "source": SOURCE,
                "symbol": window.symbol,
                "record_date": day,
                "amount": amount,
                "currency": meta.get("currency"),
            }
            for day, amount in sorted(paid.items())
        ),
        DIVIDENDS_SCHEMA,
    )


def _security(meta: Mapping[str, Any], symbol: str, shift: timedelta) -> pa.Table:
    first = meta.get("firstTradeDate")
    if not meta:
        return SECURITIES_SCHEMA.empty_table()
    row = {
        "source": SOURCE,
        "symbol": symbol,
        "name": meta.get("longName") or meta.get("shortName") or symbol,
        "currency": meta.get("currency"),
        "lot_size": 1,
        "listed_from": _day(first, shift) if isinstance(first, int) else None,
    }
    return rows_to_arrow([row], SECURITIES_SCHEMA)


def _open_session(meta: Mapping[str, Any], shift: timedelta, now: datetime) -> date | None:
    """The day whose session has not ended, so that its bar still changes."""
    regular = (meta.get("currentTradingPeriod") or {}).get("regular") or {}
    if "start" not in regular or "end" not in regular or now.timestamp() >= regular["end"]:
        return None
    return _day(regular["start"], shift)


def _day(stamp: int, shift: timedelta) -> date:
    return (datetime.fromtimestamp(stamp, UTC) + shift).date()
