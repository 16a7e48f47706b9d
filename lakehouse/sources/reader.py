"""The interface of a quote source.

A source answers three questions (which symbols exist, on which days quotes are expected, what a
symbol is called today) and builds a dlt source whose resources yield Arrow tables. The resources
have the names of the lake's tables without namespace: ``quotes``, ``splits``, ``dividends``,
``calendar``, ``securities``. A resource yields one complete table per symbol or day: a symbol that
fails half way yields nothing, so that no partial history is ever landed.
"""

import json
import logging
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import date
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import pyarrow as pa

from lakehouse.errors import (
    BadPayload,
    FatalError,
    SourceUnavailable,
    Unreachable,
    UsageError,
    WeekaheadError,
)
from lakehouse.findings import Finding
from lakehouse.settings import Settings

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
        # JSON of a row with a value of the wrong type; the quality gate rejects it.
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

# Rejected rows and the reason; the payload is the original row as JSON.
REJECT_SCHEMA = pa.schema(
    [
        ("source", pa.string()),
        ("symbol", pa.string()),
        ("trade_date", pa.date32()),
        ("rule", pa.string()),
        ("reason", pa.string()),
        ("payload", pa.string()),
    ]
)

FAILURES_IN_A_ROW = 5

log = logging.getLogger("weekahead")
T = TypeVar("T")


@dataclass(frozen=True)
class Window:
    """The dates of one symbol to fetch.

    Attributes:
        symbol: The symbol.
        start: First date.
        end: Last date.
        last: Date of the symbol's last bar in the lake; None if it has none.
        holes: Missing dates before ``start`` that are requested again.
    """

    symbol: str
    start: date
    end: date
    last: date | None = None
    holes: frozenset[date] = frozenset()

    @property
    def first(self) -> date:
        """The earliest date needed."""
        return min(self.holes | {self.start})

    def holds(self, day: date) -> bool:
        """Whether a bar of this date is wanted."""
        return self.start <= day <= self.end or day in self.holes


@dataclass(frozen=True)
class Batch:
    """What is fetched, checked and committed together.

    Attributes:
        start: First date of the quotes.
        end: Last date of the quotes.
        windows: Symbols to read one by one.
        days: Days to read for a whole board.
        dividends: Symbols whose dividends are read.
        calendar_start: First date of the calendar; None means that of the quotes.
        calendar_end: Last date of the calendar; None skips the calendar.
        reference: Whether to read splits and securities too.
        symbols: Requested symbols; None accepts all.
        expects_quotes: Whether it is an error if there are none at all.
        stop_before_failure: Whether to drop the first failed day and all later ones.
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
        """The names under which failures are reported: symbols, or days."""
        return tuple(window.symbol for window in self.windows) + tuple(map(str, self.days))


@dataclass
class FetchLog:
    """Everything a source reports besides its tables; thread-safe.

    Attributes:
        failed: Failed symbols, days or tables, with the reason.
        errors: The errors themselves, by the same names.
        warnings: What is missing without being a failure.
        findings: Anomalies in the data that was read.
        rejects: Unusable rows, in the columns of ``REJECT_SCHEMA``.
        idle: Days on which a symbol did not trade, according to the source.
        without_volume: Symbols that by their nature have no volume, such as indices.
        calendars: Symbols whose exchange has its own calendar, and its name.
        missing: What the source does not offer, by kind: symbols, with the reason.
        looked_at: Symbols whose dividends were read, with the dates covered.
        dividends_read: Whether the dividends of any symbol were read in this run.
    """

    failed: dict[str, str] = field(default_factory=dict)
    errors: dict[str, WeekaheadError] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    rejects: list[dict[str, Any]] = field(default_factory=list)
    idle: dict[str, set[date]] = field(default_factory=dict)
    without_volume: set[str] = field(default_factory=set)
    calendars: dict[str, str] = field(default_factory=dict)
    missing: dict[str, dict[str, str]] = field(default_factory=dict)
    looked_at: dict[str, tuple[date, date]] = field(default_factory=dict)
    dividends_read: bool = False
    _in_a_row: int = 0
    _lock: Lock = field(default_factory=Lock)

    @property
    def gave_up(self) -> bool:
        """Whether the source refused so many requests in a row that continuing is pointless."""
        return self._in_a_row >= FAILURES_IN_A_ROW

    def fail(self, name: str, error: WeekaheadError) -> None:
        """Record a failed symbol, day or table.

        Args:
            name: Symbol, day or table.
            error: The error; several unavailable answers in a row make the log give up.
        """
        with self._lock:
            self.failed[name] = str(error)
            self.errors[name] = error
            if isinstance(error, Unreachable):
                self._in_a_row = FAILURES_IN_A_ROW
            else:
                self._in_a_row += isinstance(error, SourceUnavailable)
        log.info("%s: %s", name, error)

    def skip(self, name: str) -> None:
        """Record a symbol or day that was not requested because the source keeps refusing."""
        with self._lock:
            self.failed[name] = "not requested: the source refused several requests in a row"

    def done(self, name: str, rows: int) -> None:
        """Record a symbol or day that was read; resets the count of refusals.

        Args:
            name: Symbol or day.
            rows: Number of bars.
        """
        with self._lock:
            self._in_a_row = 0
        log.info("%s: %s bars", name, f"{rows:,}")

    def passing(self) -> list[str]:
        """Names that failed for a transient reason; empty once the source has been given up."""
        if self.gave_up:
            return []
        errors = self.errors.items()
        return [name for name, error in errors if isinstance(error, SourceUnavailable)]

    def try_again(self, names: Iterable[str]) -> None:
        """Forget these failures because they are retried."""
        with self._lock:
            for name in names:
                self.failed.pop(name, None)
                self.errors.pop(name, None)

    def warn(self, message: str) -> None:
        """Record that something is missing on which the quotes do not depend."""
        with self._lock:
            if message not in self.warnings:
                self.warnings.append(message)

    def not_offered(self, name: str, reason: str) -> None:
        """Record that the source does not offer something.

        Args:
            name: A table, or ``<kind> of <symbol>`` such as ``dividends of AAPL``.
            reason: The reason, in words.
        """
        what, _, symbol = name.partition(" of ")
        if not symbol:
            self.warn(f"no {name}: {reason}")
            return
        with self._lock:
            self.missing.setdefault(what, {})[symbol] = reason

    def find(self, finding: Finding) -> None:
        """Record an anomaly in the data."""
        with self._lock:
            self.findings.append(finding)

    def reject(
        self, source: str, symbol: str | None, day: date | None, reason: str, row: Any
    ) -> None:
        """Quarantine one row of reference data; the rest of the response is used.

        Args:
            source: Quote source.
            symbol: Symbol; None if unknown.
            day: Date; None if unknown.
            reason: What is wrong, in words.
            row: The original row; anything that can be printed.
        """
        payload = json.dumps(row, ensure_ascii=False, default=str)
        values = (source, symbol, day, "type", reason, payload)
        with self._lock:
            self.rejects.append(dict(zip(REJECT_SCHEMA.names, values, strict=True)))

    def rested(self, symbol: str, days: Iterable[date]) -> None:
        """Record days on which a symbol did not trade.

        Args:
            symbol: The symbol.
            days: The days.
        """
        with self._lock:
            self.idle.setdefault(symbol, set()).update(days)

    def drain(self) -> None:
        """Clear the remarks about a finished batch; failures and warnings stay."""
        with self._lock:
            self.findings.clear()
            self.rejects.clear()
            self.idle.clear()
            self.dividends_read |= bool(self.looked_at)
            self.looked_at.clear()

    def guarded(self, name: str, where: str, read: Callable[[], T]) -> T | None:
        """Read one symbol or day; an error in its response does not affect the others.

        Args:
            name: Symbol or day.
            where: The source, for error messages.
            read: Fetches and parses.

        Returns:
            The result of ``read``; None if it failed or was skipped.

        Raises:
            FatalError: Nothing can be read until someone acts.
            UsageError: A setting is wrong, for all symbols.
        """
        if self.gave_up:
            self.skip(name)
            return None
        try:
            return read()
        except (FatalError, UsageError, MemoryError):
            raise
        except WeekaheadError as error:
            self.fail(name, error)
        except Exception as error:
            log.debug("%s of %s", name, where, exc_info=True)
            problem = BadPayload(
                f"{where}: the answer for '{name}' cannot be used ({_short(error)}). None of it "
                "was landed; the next ingest reads it again."
            )
            problem.__cause__ = error
            self.fail(name, problem)
        return None


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:200]


class Reader(Protocol):
    """An open source.

    Attributes:
        name: Value of the column ``source``.
        board: The board it can read day by day; None if it reads only symbols.
        board_by_default: Whether to read the whole board if no symbols are named.
        calendar: Calendar of exchange_calendars for symbols without another.
    """

    name: str
    board: str | None
    board_by_default: bool
    calendar: str

    @property
    def requests(self) -> int:
        """Number of HTTP requests so far."""

    def symbols(self) -> tuple[str, ...]:
        """The symbols to read if none are named; empty if the source cannot list them."""

    def sessions(self, start: date, end: date) -> tuple[date, ...]:
        """The days on which quotes are expected.

        Args:
            start: First day.
            end: Last day, inclusive.

        Returns:
            Dates in ascending order.
        """

    def resources(self, batch: Batch, log: FetchLog) -> "DltSource":
        """The dlt source that reads a batch.

        Args:
            batch: What to read.
            log: Collects failures, findings and rejects.

        Returns:
            A source whose resources yield Arrow tables.
        """


Opener = Callable[[Settings], AbstractContextManager[Reader]]


def rows_to_arrow(rows: Iterable[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    """Build a table from rows whose values already have the schema's types.

    Args:
        rows: Dictionaries by column name; missing values become null.
        schema: The columns.

    Returns:
        The table.
    """
    return pa.Table.from_pylist(list(rows), schema=schema)
