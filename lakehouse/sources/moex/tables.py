"""Converts ISS blocks to the lake's columns."""

import math
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lakehouse.findings import FAR_FUTURE, NOTE, Finding, differing_dividends
from lakehouse.sources.columns import typed_table
from lakehouse.sources.moex.iss import Block
from lakehouse.sources.moex.renames import Rename
from lakehouse.sources.reader import (
    CALENDAR_SCHEMA,
    DIVIDENDS_SCHEMA,
    QUOTES_SCHEMA,
    SECURITIES_SCHEMA,
    SPLITS_SCHEMA,
    rows_to_arrow,
)

# ISS still uses the rouble's pre-1998 code.
CURRENCIES = {"SUR": "RUB", "RUR": "RUB"}
# A dividend announced further ahead than this is a typo.
FAR = timedelta(days=2 * 366)


Reject = Callable[[str | None, date | None, str, Any], None]


@dataclass(frozen=True)
class Days:
    """Determines which days of a history are bars.

    Attributes:
        today: The exchange's current date; its session is not over yet.
        weekends: Whether additional weekend sessions, which the exchange counts towards the next
            working day, are separate bars.
    """

    today: date
    weekends: bool = False


def quotes_table(
    block: Block, source: str, board: str, days: Days, *, has_volume: bool = True
) -> tuple[pa.Table, dict[str, set[date]]]:
    """Bars of the block ``history``, and the days without one.

    ISS lists a day without trades with four null prices and no volume, which is not a bar. The
    unfinished session of today is not one either.

    Args:
        block: The block ``history``.
        source: Value of the column ``source``.
        board: Board of rows that do not name one.
        days: Today, and how to treat weekend sessions.
        has_volume: Whether the column VOLUME is required; indices have none.

    Returns:
        Bars in the columns of ``QUOTES_SCHEMA``, and days without a bar by symbol.

    Raises:
        BadPayload: A required column is missing.
    """
    block.require("SECID", "TRADEDATE", "OPEN", "HIGH", "LOW", "CLOSE")
    if has_volume:
        block.require("VOLUME")
    columns = {
        "source": [source] * block.height,
        "symbol": block.values("SECID"),
        "trade_date": block.values("TRADEDATE"),
        "open": block.values("OPEN"),
        "high": block.values("HIGH"),
        "low": block.values("LOW"),
        "close": block.values("CLOSE"),
        "volume": block.values("VOLUME"),
        "value": block.values("VALUE"),
        "currency": _currencies(block.values("CURRENCYID")),
        "board": [name or board for name in block.values("BOARDID")],
    }
    table = typed_table(columns, QUOTES_SCHEMA, rows=block.height)
    prices = [pc.is_null(table.column(name)) for name in ("open", "high", "low", "close")]
    idle = pc.and_(pc.and_(prices[0], prices[1]), pc.and_(prices[2], prices[3]))
    idle = pc.and_(idle, pc.equal(pc.fill_null(table.column("volume"), 0), 0))
    idle = pc.and_(idle, pc.is_null(table.column("malformed")))
    if not days.weekends and "TRADE_SESSION_DATE" in block.columns:
        apart = [
            isinstance(session, str) and session[:10] != str(day)[:10]
            for session, day in zip(
                block.values("TRADE_SESSION_DATE"), block.values("TRADEDATE"), strict=True
            )
        ]
        idle = pc.or_(idle, pa.array(apart, pa.bool_()))
    rested: dict[str, set[date]] = {}
    if pc.any(idle).as_py():
        without = table.filter(idle).select(["symbol", "trade_date"])
        for row in without.to_pylist():
            if row["symbol"] and row["trade_date"]:
                rested.setdefault(row["symbol"], set()).add(row["trade_date"])
    over = pc.fill_null(pc.not_equal(table.column("trade_date"), pa.scalar(days.today)), True)
    return table.filter(pc.and_(pc.invert(idle), over)), rested


def splits_table(block: Block, source: str, symbols: Set[str] | None, reject: Reject) -> pa.Table:
    """Splits of the block ``splits``; ``before`` old shares became ``after`` new ones.

    Args:
        block: The block ``splits``.
        source: Value of the column ``source``.
        symbols: Symbols to keep; None keeps all.
        reject: Called with symbol, date, reason and row for each unusable row.

    Returns:
        Rows in the columns of ``SPLITS_SCHEMA``.

    Raises:
        BadPayload: A column is missing.
    """
    block.require("TRADEDATE", "SECID", "BEFORE", "AFTER")
    rows = []
    for row in block.records():
        symbol = row["SECID"]
        if not isinstance(symbol, str) or (symbols is not None and symbol not in symbols):
            continue
        try:
            rows.append(
                {
                    "source": source,
                    "symbol": symbol,
                    "ex_date": _date(row["TRADEDATE"]),
                    "ratio_before": _positive(row["BEFORE"]),
                    "ratio_after": _positive(row["AFTER"]),
                }
            )
        except ValueError as error:
            reject(symbol, None, f"a split that cannot be used ({error})", row)
    return rows_to_arrow(rows, SPLITS_SCHEMA)


def dividends_table(
    block: Block,
    source: str,
    symbol: str,
    today: date,
    reject: Reject,
    find: Callable[[Finding], None],
) -> pa.Table:
    """Dividends of one symbol by record date, per share of that date; empty amounts are skipped.

    Different amounts for one date are not summed, because a later entry usually corrects an earlier
    one: the last one counts, and there is a finding.

    Args:
        block: The block ``dividends``.
        source: Value of the column ``source``.
        symbol: The symbol.
        today: The exchange's current date.
        reject: Called with symbol, date, reason and row for each unusable row.
        find: Called with each finding.

    Returns:
        Rows in the columns of ``DIVIDENDS_SCHEMA``.

    Raises:
        BadPayload: A column is missing.
    """
    block.require("REGISTRYCLOSEDATE", "VALUE")
    paid: dict[date, list[float]] = {}
    currencies: dict[date, Any] = {}
    for row in block.records():
        if not row["REGISTRYCLOSEDATE"] or not row["VALUE"]:
            continue
        try:
            day, amount = _date(row["REGISTRYCLOSEDATE"]), _positive(row["VALUE"])
        except ValueError as error:
            reject(symbol, None, f"a dividend that cannot be used ({error})", row)
            continue
        if day > today + FAR:
            seen = f"a dividend dated {day}, far in the future; it was rejected"
            reject(symbol, day, "a dividend in a far future", row)
            find(Finding(source, symbol, FAR_FUTURE, day, day, NOTE, seen))
            continue
        paid.setdefault(day, []).append(amount)
        currencies[day] = _currency(row.get("CURRENCYID"))
    for day, amounts in paid.items():
        if len(set(amounts)) > 1:
            find(differing_dividends(source, symbol, day, amounts))
    rows = [
        {
            "source": source,
            "symbol": symbol,
            "record_date": day,
            "amount": amounts[-1],
            "currency": currencies[day] if isinstance(currencies[day], str) else None,
        }
        for day, amounts in paid.items()
    ]
    return rows_to_arrow(rows, DIVIDENDS_SCHEMA)


def calendar_table(block: Block, source: str, days: Days, reject: Reject) -> pa.Table:
    """Days of the block ``off_days``, open and closed.

    Args:
        block: The block ``off_days``.
        source: Value of the column ``source``.
        days: How to treat weekend sessions.
        reject: Called with symbol, date, reason and row for each unusable row.

    Returns:
        Rows in the columns of ``CALENDAR_SCHEMA``.

    Raises:
        BadPayload: A column is missing.
    """
    block.require("TRADEDATE", "IS_TRADED")
    rows = []
    for row in block.records():
        try:
            day = _date(row["TRADEDATE"])
        except ValueError as error:
            reject(None, None, f"a day of the calendar that cannot be used ({error})", row)
            continue
        session = str(row.get("TRADE_SESSION_DATE") or day)[:10]
        own = days.weekends or session == day.isoformat()
        reason = row.get("REASON")
        rows.append(
            {
                "source": source,
                "trade_date": day,
                "is_open": bool(row["IS_TRADED"]) and own,
                "reason": reason if isinstance(reason, str) else None,
            }
        )
    return rows_to_arrow(rows, CALENDAR_SCHEMA)


def securities_table(
    block: Block, source: str, asked: Mapping[str, date | None] | None, changes: Iterable[Rename]
) -> pa.Table:
    """Listed and formerly listed securities.

    Args:
        block: The block ``securities`` of a board.
        source: Value of the column ``source``.
        asked: Symbols to keep, with the last date of their quotes in the lake; None keeps all.
        changes: Ticker changes; old names end the day before.

    Returns:
        Rows in the columns of ``SECURITIES_SCHEMA``.

    Raises:
        BadPayload: The column SECID is missing.
    """
    block.require("SECID")
    found: dict[str, dict[str, Any]] = {
        row["SECID"]: {
            "source": source,
            "symbol": row["SECID"],
            "name": _text(row.get("SECNAME")) or _text(row.get("SHORTNAME")),
            "currency": _text(_currency(row.get("CURRENCYID"))),
            "lot_size": _whole(row.get("LOTSIZE")),
        }
        for row in block.records()
        if isinstance(row["SECID"], str)
    }
    ended = {symbol: last for symbol, last in (asked or {}).items() if last and found}
    ended |= {rename.old: rename.day - timedelta(days=1) for rename in changes}
    for symbol, last in ended.items():
        if symbol not in found:
            found[symbol] = {"source": source, "symbol": symbol, "listed_till": last}
    kept = (row for symbol, row in found.items() if asked is None or symbol in asked)
    return rows_to_arrow(kept, SECURITIES_SCHEMA)


def _currencies(codes: list[Any]) -> list[Any]:
    """Present currency codes; values that are not text are left to the quality gate."""
    return [CURRENCIES.get(code, code) if type(code) is str else code for code in codes]


def _currency(code: Any) -> Any:
    return _currencies([code])[0]


def _date(value: Any) -> date:
    try:
        return date.fromisoformat(str(value)[:10])
    except ValueError as error:
        raise ValueError(f"'{value}' is not a date") from error


def _positive(value: Any) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 < value < math.inf:
        raise ValueError(f"'{value}' is not a positive number")
    return float(value)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and 0 <= value < 2**63 else None
