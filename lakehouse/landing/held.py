"""What the lake already holds: the only state that an ingest starts from.

It is read from the tables themselves, so a lost working directory or a killed run cannot make it
wrong. Years are read from the latest back, and only the needed columns, so that the cost of a daily
run does not depend on the length of the history.
"""

from collections.abc import Collection, Iterator
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.catalog import Catalog
from pyiceberg.expressions import (
    And,
    BooleanExpression,
    EqualTo,
    GreaterThanOrEqual,
    In,
    LessThan,
    LessThanOrEqual,
)
from pyiceberg.table import Table

from catalog.connect import load_table
from catalog.tables import CALENDAR, QUOTES, TableDefinition

EPOCH_YEAR = 1970
FEW_SYMBOLS = 100


def last_dates(catalog: Catalog, source: str, symbols: Collection[str]) -> dict[str, date]:
    """The latest trade date of each symbol.

    Args:
        catalog: The lake.
        source: Quote source.
        symbols: The symbols to look up.

    Returns:
        Dates by symbol; symbols without quotes are omitted.
    """
    table = load_table(catalog, QUOTES)
    found: dict[str, date] = {}
    missing = set(symbols)
    for year in _years(table):
        if not missing:
            break
        of_year = And(EqualTo("source", source), _within(year), _near(missing))
        rows = table.scan(of_year, selected_fields=("symbol", "trade_date")).to_arrow()
        found |= _latest_by_symbol(_of(rows, missing))
        missing -= found.keys()
    return found


def first_dates(catalog: Catalog, source: str, symbols: Collection[str]) -> dict[str, date]:
    """The earliest trade date of a few symbols; reads their whole history.

    Args:
        catalog: The lake.
        source: Quote source.
        symbols: The symbols to look up.

    Returns:
        Dates by symbol; symbols without quotes are omitted.
    """
    wanted = And(EqualTo("source", source), In("symbol", set(symbols)))
    names = ("symbol", "trade_date")
    rows = load_table(catalog, QUOTES).scan(wanted, selected_fields=names).to_arrow()
    first = rows.group_by("symbol").aggregate([("trade_date", "min")])
    return dict(
        zip(
            first.column("symbol").to_pylist(),
            first.column("trade_date_min").to_pylist(),
            strict=True,
        )
    )


def closes_between(
    catalog: Catalog, source: str, symbols: Collection[str], first: date, last: date
) -> pa.Table:
    """Symbol, date and close of the bars between two dates.

    Args:
        catalog: The lake.
        source: Quote source.
        symbols: The symbols to read; if empty, nothing is read.
        first: First trade date, inclusive.
        last: Last trade date, inclusive.

    Returns:
        Columns ``symbol``, ``trade_date`` and ``close`` (as traded), in no particular order.
    """
    names = ("symbol", "trade_date", "close")
    table = load_table(catalog, QUOTES)
    if not symbols or table.current_snapshot() is None:
        schema = [("symbol", pa.string()), ("trade_date", pa.date32()), ("close", pa.float64())]
        return pa.schema(schema).empty_table()
    wanted = And(
        EqualTo("source", source),
        GreaterThanOrEqual("trade_date", first.isoformat()),
        LessThanOrEqual("trade_date", last.isoformat()),
        _near(symbols),
    )
    rows = table.scan(wanted, selected_fields=names).to_arrow()
    return _of(rows, symbols).select(names)


def open_days(catalog: Catalog, source: str) -> list[date]:
    """Trading days of the source's own calendar.

    Args:
        catalog: The lake.
        source: Quote source.

    Returns:
        Dates in ascending order.
    """
    rows = rows_of(catalog, CALENDAR, source, columns=("trade_date", "is_open"))
    days: list[date] = rows.filter(rows.column("is_open")).column("trade_date").to_pylist()
    return sorted(days)


def last_board_date(catalog: Catalog, source: str, board: str) -> date | None:
    """The latest trade date of a board.

    Args:
        catalog: The lake.
        source: Quote source.
        board: Board code, such as ``TQBR``.

    Returns:
        The date; None if the board has no quotes.
    """
    table = load_table(catalog, QUOTES)
    for year in _years(table):
        of_year = And(EqualTo("source", source), EqualTo("board", board), _within(year))
        rows = table.scan(of_year, selected_fields=("trade_date",)).to_arrow()
        if rows.num_rows:
            latest: date = pc.max(rows.column("trade_date")).as_py()
            return latest
    return None


def known_symbols(catalog: Catalog, source: str) -> tuple[str, ...]:
    """Every symbol of a source that has quotes.

    Args:
        catalog: The lake.
        source: Quote source.

    Returns:
        Symbols in alphabetical order.
    """
    rows = load_table(catalog, QUOTES).scan(EqualTo("source", source), selected_fields=("symbol",))
    symbols: set[str] = set()
    for batch in rows.to_arrow_batch_reader():
        symbols.update(pc.unique(batch.column("symbol")).to_pylist())
    return tuple(sorted(symbols))


def symbols_before(catalog: Catalog, source: str, symbols: Collection[str], day: date) -> set[str]:
    """The symbols that have quotes before a date.

    Args:
        catalog: The lake.
        source: Quote source.
        symbols: The symbols to look up.
        day: The date, exclusive.

    Returns:
        A subset of the symbols.
    """
    table = load_table(catalog, QUOTES)
    missing, found = set(symbols), set[str]()
    for year in _years(table):
        if not missing or year > day.year:
            continue
        wanted = And(
            EqualTo("source", source),
            _within(year),
            LessThan("trade_date", day.isoformat()),
            _near(missing),
        )
        rows = table.scan(wanted, selected_fields=("symbol",)).to_arrow()
        found.update(pc.unique(_of(rows, missing).column("symbol")).to_pylist())
        missing -= found
    return found


def rows_of(
    catalog: Catalog,
    definition: TableDefinition,
    source: str,
    *,
    symbols: Collection[str] | None = None,
    columns: tuple[str, ...] = ("*",),
) -> pa.Table:
    """Read rows of one source from a table.

    Args:
        catalog: The lake.
        definition: A table with the column ``source``.
        source: Quote source.
        symbols: Read only these; None reads all.
        columns: Columns to read; by default all.

    Returns:
        The rows, in no particular order.

    Raises:
        TableMissing: The table does not exist.
        CatalogUnavailable: The catalog does not answer.
    """
    wanted: BooleanExpression = EqualTo("source", source)
    if symbols is not None:
        wanted = And(wanted, In("symbol", set(symbols)))
    return load_table(catalog, definition).scan(wanted, selected_fields=columns).to_arrow()


def _years(table: Table) -> Iterator[int]:
    """The years that have quotes, latest first."""
    if table.current_snapshot() is None:
        return
    partitions = table.inspect.partitions().column("partition").to_pylist()
    yield from sorted({EPOCH_YEAR + row["trade_date_year"] for row in partitions}, reverse=True)


def _within(year: int) -> BooleanExpression:
    first, next_first = date(year, 1, 1), date(year + 1, 1, 1)
    return And(
        GreaterThanOrEqual("trade_date", first.isoformat()),
        LessThan("trade_date", next_first.isoformat()),
    )


def _near(symbols: Collection[str]) -> BooleanExpression:
    """A cheap filter for these symbols; if there are many, it lets others through.

    A list of thousands is evaluated for every file, which costs more than it saves.
    """
    if len(symbols) <= FEW_SYMBOLS:
        return In("symbol", set(symbols))
    return And(GreaterThanOrEqual("symbol", min(symbols)), LessThanOrEqual("symbol", max(symbols)))


def _of(rows: pa.Table, symbols: Collection[str]) -> pa.Table:
    return rows.filter(pc.is_in(rows.column("symbol"), pa.array(symbols, pa.string())))


def _latest_by_symbol(rows: pa.Table) -> dict[str, date]:
    latest = rows.group_by("symbol").aggregate([("trade_date", "max")])
    return dict(
        zip(
            latest.column("symbol").to_pylist(),
            latest.column("trade_date_max").to_pylist(),
            strict=True,
        )
    )
