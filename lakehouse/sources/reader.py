"""What a quote source is to the rest of the product.

A source answers three questions (which symbols are there, on which days are quotes expected, how
is a symbol called today) and builds a dlt source whose resources yield Arrow tables. The resources
are named as the lake's tables without their namespace: ``quotes``, ``splits``, ``dividends``,
``calendar``, ``securities``. A resource holds one table per symbol or day, whole: a symbol that
fails half way yields nothing, so that no half-read history is ever landed.
"""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import date
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa

from lakehouse.errors import SourceUnavailable, WeekaheadError
from lakehouse.settings import Settings
from lakehouse.sources.http import Unreachable

if TYPE_CHECKING:
    from dlt.extract import DltSource

QUOTES_SCHEMA = pa.schema(
    [
        ("source", pa.string()),
        ("symbol", pa.string()),
        ("trade_date", pa.date32()),
        ("open", pa.float64()),
        ("high", pa.float64()),
        ("low", pa.float64()),
        ("close", pa.float64()),
        ("volume", pa.int64()),
        ("value", pa.float64()),
        ("currency", pa.string()),
        ("board", pa.string()),
        # JSON of a row in which a value has the wrong type; the quality gate rejects it.
        ("malformed", pa.string()),
    ]
)
SPLITS_SCHEMA = pa.schema(
    [
        ("source", pa.string()),
        ("symbol", pa.string()),
        ("ex_date", pa.date32()),
        ("ratio_before", pa.float64()),
        ("ratio_after", pa.float64()),
    ]
)
DIVIDENDS_SCHEMA = pa.schema(
    [
        ("source", pa.string()),
        ("symbol", pa.string()),
        ("record_date", pa.date32()),
        ("amount", pa.float64()),
        ("currency", pa.string()),
    ]
)
CALENDAR_SCHEMA = pa.schema(
    [
        ("source", pa.string()),
        ("trade_date", pa.date32()),
        ("is_open", pa.bool_()),
        ("reason", pa.string()),
    ]
)
SECURITIES_SCHEMA = pa.schema(
    [
        ("source", pa.string()),
        ("symbol", pa.string()),
        ("name", pa.string()),
        ("currency", pa.string()),
        ("lot_size", pa.int64()),
        ("listed_from", pa.date32()),
        ("listed_till", pa.date32()),
    ]
)

FAILURES_IN_A_ROW = 5


@dataclass(frozen=True)
class Window:
    """The dates of one symbol that are to be fetched.

    Attributes:
        symbol: The symbol.
        start: First date.
        end: Last date.
        last: Last date of which the lake has a bar.
    """

    symbol: str
    start: date
    end: date
    last: date | None = None


@dataclass(frozen=True)
class Batch:
    """What is fetched, checked and committed together.

    Attributes:
        start: First date of the quotes.
        end: Last date of the quotes.
        windows: Symbols to read one by one.
        days: Days to read for a whole board.
        dividends: Symbols whose dividends are read.
        calendar_start: First date of the calendar; None: that of the quotes.
        calendar_end: Last date of the calendar; None leaves the calendar out.
        reference: Whether to read splits and securities, too.
        symbols: Symbols that are asked for; None accepts all.
        expects_quotes: Whether it is an error when there are none at all.
        stop_before_failure: Whether to drop the days after the first one that failed.
    """

    start: date
    end: date
    windows: tuple[Window, ...] = ()
    days: tuple[date, ...] = ()
    dividends: tuple[str, ...] = ()
    calendar_start: date | None = None
    calendar_end: date | None = None
    reference: bool = True
    symbols: frozenset[str] | None = None
    expects_quotes: bool = False
    stop_before_failure: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """What a failure is reported under: symbols, or days."""
        return tuple(window.symbol for window in self.windows) + tuple(map(str, self.days))


@dataclass
class FetchLog:
    """What could not be fetched, and why; safe to use from several threads.

    Attributes:
        failed: Symbol, day or table that failed, with the reason.
        errors: The errors themselves.
        warnings: What is missing without being a failure.
        fetched: Rows of quotes by symbol or day.
    """

    progress: Callable[[str], None] = lambda _: None
    failed: dict[str, str] = field(default_factory=dict)
    errors: list[WeekaheadError] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    fetched: dict[str, int] = field(default_factory=dict)
    _in_a_row: int = 0
    _lock: Lock = field(default_factory=Lock)

    @property
    def gave_up(self) -> bool:
        """Whether the source refused so often in a row that asking on is pointless."""
        return self._in_a_row >= FAILURES_IN_A_ROW

    def fail(self, name: str, error: WeekaheadError) -> None:
        """Note that a symbol, day or table failed."""
        with self._lock:
            self.failed[name] = str(error)
            self.errors.append(error)
            if isinstance(error, Unreachable):
                self._in_a_row = FAILURES_IN_A_ROW
            else:
                self._in_a_row += isinstance(error, SourceUnavailable)
        self.progress(f"{name}: {error}")

    def skip(self, name: str) -> None:
        """Note that a symbol or day was not asked for because the source keeps refusing."""
        with self._lock:
            self.failed[name] = "not asked for: the source refused several requests in a row"

    def done(self, name: str, rows: int) -> None:
        """Note that a symbol or day was read."""
        with self._lock:
            self.fetched[name] = self.fetched.get(name, 0) + rows
            self._in_a_row = 0
        self.progress(f"{name}: {rows:,} bars")

    def warn(self, message: str) -> None:
        """Note that something is missing that the quotes do not depend on."""
        with self._lock:
            if message not in self.warnings:
                self.warnings.append(message)


class Reader(Protocol):
    """An open source.

    Attributes:
        name: Value of the column ``source``.
        board: The board that it can read day by day; None when it reads symbols only.
        board_by_default: Whether to read the whole board when no symbols are named.
    """

    name: str
    board: str | None
    board_by_default: bool

    @property
    def requests(self) -> int:
        """HTTP requests made so far."""

    def symbols(self) -> tuple[str, ...]:
        """The symbols to read when none are named; empty when the source cannot say."""

    def sessions(self, start: date, end: date) -> tuple[date, ...]:
        """The days on which quotes are expected."""

    def resources(self, batch: Batch, log: FetchLog) -> "DltSource":
        """The dlt source that reads a batch."""


Opener = Callable[[Settings], AbstractContextManager[Reader]]


def rows_to_arrow(rows: Iterable[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    """Rows whose values already have the schema's types; missing ones become null."""
    return pa.Table.from_pylist(list(rows), schema=schema)
