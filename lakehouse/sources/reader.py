"""What a quote source is to the rest of the product.

A source answers three questions (which symbols are there, on which days are quotes expected, how
is a symbol called today) and builds a dlt source whose resources yield Arrow tables. The resources
are named as the lake's tables without their namespace: ``quotes``, ``splits``, ``dividends``,
``calendar``, ``securities``. A resource holds one table per symbol or day, whole: a symbol that
fails half way yields nothing, so that no half-read history is ever landed.
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

# What the quality gate keeps out, and why; the payload is the row as it came, as JSON.
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
    """The dates of one symbol that are to be fetched.

    Attributes:
        symbol: The symbol.
        start: First date.
        end: Last date.
        last: Last date of which the lake has a bar.
        holes: Dates before the first one that are still missing, and are asked for again.
    """

    symbol: str
    start: date
    end: date
    last: date | None = None
    holes: frozenset[date] = frozenset()

    @property
    def first(self) -> date:
        """The first date that is needed."""
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
    """What a source has to say besides its tables; safe to use from several threads.

    Attributes:
        failed: Symbol, day or table that failed, with the reason.
        errors: The errors themselves, by the same names.
        warnings: What is missing without being a failure.
        findings: What is odd about the data that was read.
        rejects: Rows that cannot be used, in the columns of ``REJECT_SCHEMA``.
        idle: Days on which the source says that a symbol did not trade.
        without_volume: Symbols that have no volume by their nature, such as indices.
        calendars: Symbols whose exchange has a calendar of its own, and its name.
        missing: What the source does not offer, by kind: symbols, with the reason.
        looked_at: Symbols whose dividends were read, with the dates that were covered.
        dividends_read: Whether those of any symbol could be read in this run.
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
        """Whether the source refused so often in a row that asking on is pointless."""
        return self._in_a_row >= FAILURES_IN_A_ROW

    def fail(self, name: str, error: WeekaheadError) -> None:
        """Note that a symbol, day or table failed."""
        with self._lock:
            self.failed[name] = str(error)
            self.errors[name] = error
            if isinstance(error, Unreachable):
                self._in_a_row = FAILURES_IN_A_ROW
            else:
                self._in_a_row += isinstance(error, SourceUnavailable)
        log.info("%s: %s", name, error)

    def skip(self, name: str) -> None:
        """Note that a symbol or day was not asked for because the source keeps refusing."""
        with self._lock:
            self.failed[name] = "not asked for: the source refused several requests in a row"

    def done(self, name: str, rows: int) -> None:
        """Note that a symbol or day was read."""
        with self._lock:
            self._in_a_row = 0
        log.info("%s: %s bars", name, f"{rows:,}")

    def passing(self) -> list[str]:
        """What failed for a reason that may have passed by now; nothing once the source is gone."""
        if self.gave_up:
            return []
        errors = self.errors.items()
        return [name for name, error in errors if isinstance(error, SourceUnavailable)]

    def try_again(self, names: Iterable[str]) -> None:
        """Forget that these failed, because they are asked for once more."""
        with self._lock:
            for name in names:
                self.failed.pop(name, None)
                self.errors.pop(name, None)

    def warn(self, message: str) -> None:
        """Note that something is missing that the quotes do not depend on."""
        with self._lock:
            if message not in self.warnings:
                self.warnings.append(message)

    def not_offered(self, name: str, reason: str) -> None:
        """Note that the source does not offer something, such as a symbol's dividends."""
        what, _, symbol = name.partition(" of ")
        if not symbol:
            self.warn(f"no {name}: {reason}")
            return
        with self._lock:
            self.missing.setdefault(what, {})[symbol] = reason

    def find(self, finding: Finding) -> None:
        """Note something odd about the data."""
        with self._lock:
            self.findings.append(finding)

    def reject(
        self, source: str, symbol: str | None, day: date | None, reason: str, row: Any
    ) -> None:
        """Put one row of reference data into quarantine; the rest of the answer is used."""
        payload = json.dumps(row, ensure_ascii=False, default=str)
        values = (source, symbol, day, "type", reason, payload)
        with self._lock:
            self.rejects.append(dict(zip(REJECT_SCHEMA.names, values, strict=True)))

    def rested(self, symbol: str, days: Iterable[date]) -> None:
        """Note days on which a symbol did not trade."""
        with self._lock:
            self.idle.setdefault(symbol, set()).update(days)

    def drain(self) -> None:
        """Forget what was said about a batch that is done."""
        with self._lock:
            self.findings.clear()
            self.rejects.clear()
            self.idle.clear()
            self.dividends_read |= bool(self.looked_at)
            self.looked_at.clear()

    def guarded(self, name: str, where: str, read: Callable[[], T]) -> T | None:
        """Read one symbol or day; whatever its answer provokes costs this one and no other.

        Args:
            name: Symbol or day.
            where: The source, for the error's message.
            read: Fetches and parses.

        Raises:
            FatalError: Nothing can be read before somebody acts.
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
                f"{where}: the answer for '{name}' cannot be used ({_short(error)}). Nothing of "
                "it was landed; it is read again by the next ingest."
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
        board: The board that it can read day by day; None when it reads symbols only.
        board_by_default: Whether to read the whole board when no symbols are named.
        calendar: Calendar of exchange_calendars for symbols that have no other.
    """

    name: str
    board: str | None
    board_by_default: bool
    calendar: str

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
