"""From ISS blocks to the lake's columns."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lakehouse.errors import BadPayload
from lakehouse.sources.columns import typed_table
from lakehouse.sources.moex.iss import Block
from lakehouse.sources.reader import (
    CALENDAR_SCHEMA,
    DIVIDENDS_SCHEMA,
    QUOTES_SCHEMA,
    SECURITIES_SCHEMA,
    SPLITS_SCHEMA,
    rows_to_arrow,
)

# ISS still uses the rouble's code from before 1998.
CURRENCIES = {"SUR": "RUB", "RUR": "RUB"}


@dataclass(frozen=True)
class Rename:
    """A ticker change: from this day on the security trades under the new name."""

    old: str
    new: str
    day: date


def quotes_table(block: Block, source: str, board: str) -> pa.Table:
    """Bars of the block ``history``; days without any trade are left out.

    ISS lists a day without trades with four null prices and no volume: there is no bar.

    Raises:
        BadPayload: A column that a bar cannot do without is missing.
    """
    block.require("SECID", "TRADEDATE", "OPEN", "HIGH", "LOW", "CLOSE", "VOLUME")
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
    return table.filter(pc.invert(idle))


def splits_table(block: Block, source: str, symbols: Set[str] | None) -> pa.Table:
    """Splits of the block ``splits``; ``before`` old shares became ``after`` new ones."""
    block.require("TRADEDATE", "SECID", "BEFORE", "AFTER")
    return rows_to_arrow(
        (
            {
                "source": source,
                "symbol": row["SECID"],
                "ex_date": _date(row["TRADEDATE"], block),
                "ratio_before": _positive(row["BEFORE"], block),
                "ratio_after": _positive(row["AFTER"], block),
            }
            for row in block.records()
            if symbols is None or row["SECID"] in symbols
        ),
        SPLITS_SCHEMA,
    )


def dividends_table(block: Block, source: str, symbol: str) -> pa.Table:
    """Dividends of one symbol by record date, per share as it then was; without empty amounts."""
    block.require("REGISTRYCLOSEDATE", "VALUE")
    amounts: dict[date, dict[str, Any]] = {}
    for row in block.records():
        if not row["REGISTRYCLOSEDATE"] or not row["VALUE"]:
            continue
        day = _date(row["REGISTRYCLOSEDATE"], block)
        # Two payments with one record date (a special one beside the regular one) add up.
        paid = amounts.get(day, {"amount": 0.0})["amount"] + _positive(row["VALUE"], block)
        amounts[day] = {
            "source": source,
            "symbol": symbol,
            "record_date": day,
            "amount": paid,
            "currency": _currency(row.get("CURRENCYID")),
        }
    return rows_to_arrow(amounts.values(), DIVIDENDS_SCHEMA)


def calendar_table(block: Block, source: str) -> pa.Table:
    """Days of the block ``off_days``, trading days and others."""
    block.require("TRADEDATE", "IS_TRADED")
    return rows_to_arrow(
        (
            {
                "source": source,
                "trade_date": _date(row["TRADEDATE"], block),
                "is_open": bool(row["IS_TRADED"]),
                "reason": row.get("REASON"),
            }
            for row in block.records()
        ),
        CALENDAR_SCHEMA,
    )


def securities_table(
    block: Block, source: str, asked: Mapping[str, date | None] | None, changes: Sequence[Rename]
) -> pa.Table:
    """Listed securities, and those that are listed no longer.

    Args:
        block: The block ``securities`` of a board.
        source: Value of the column ``source``.
        asked: Symbols to keep, with the last date of which the lake has quotes; None keeps all.
        changes: Ticker changes; the old names end the day before.
    """
    block.require("SECID")
    found = {
        row["SECID"]: {
            "source": source,
            "symbol": row["SECID"],
            "name": row.get("SECNAME") or row.get("SHORTNAME"),
            "currency": _currency(row.get("CURRENCYID")),
            "lot_size": row.get("LOTSIZE"),
        }
        for row in block.records()
    }
    ended = {symbol: last for symbol, last in (asked or {}).items() if last and found}
    ended |= {rename.old: rename.day - timedelta(days=1) for rename in changes}
    for symbol, last in ended.items():
        if symbol not in found:
            found[symbol] = {"source": source, "symbol": symbol, "listed_till": last}
    kept = (row for symbol, row in found.items() if asked is None or symbol in asked)
    return rows_to_arrow(kept, SECURITIES_SCHEMA)


def renames(block: Block) -> tuple[Rename, ...]:
    """Ticker changes of the block ``changeover``, the latest first."""
    block.require("ACTION_DATE", "OLD_SECID", "NEW_SECID")
    found = [
        Rename(row["OLD_SECID"], row["NEW_SECID"], _date(row["ACTION_DATE"], block))
        for row in block.records()
        if row["OLD_SECID"] and row["NEW_SECID"] and row["ACTION_DATE"]
    ]
    return tuple(sorted(found, key=lambda rename: rename.day, reverse=True))


def _currencies(codes: list[Any]) -> list[Any]:
    """Today's codes; what is not text is left for the quality gate to judge."""
    return [CURRENCIES.get(code, code) if type(code) is str else code for code in codes]


def _currency(code: Any) -> Any:
    return _currencies([code])[0]


def _date(value: Any, block: Block) -> date:
    try:
        return date.fromisoformat(str(value)[:10])
    except ValueError as error:
        raise BadPayload(f"{block.where} has '{value}' where a date should be.") from error


def _positive(value: Any, block: Block) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise BadPayload(f"{block.where} has '{value}' where a positive number should be.")
    return float(value)
