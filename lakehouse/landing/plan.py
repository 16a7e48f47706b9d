"""Plans what an ingest has to fetch, given what the lake already holds."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import date, timedelta
from itertools import islice
from typing import TypeVar

from pyiceberg.catalog import Catalog

from lakehouse.errors import UsageError
from lakehouse.findings import DAY_NOT_READ, OPEN, list_findings
from lakehouse.landing.calendars import Calendars
from lakehouse.landing.held import (
    first_dates,
    known_symbols,
    last_board_date,
    last_dates,
    symbols_before,
)
from lakehouse.landing.holes import days_to_ask_for
from lakehouse.landing.rejects import rejected_days
from lakehouse.landing.request import IngestRequest
from lakehouse.settings import Settings
from lakehouse.sources.reader import Batch, Reader, Window

T = TypeVar("T")
S = TypeVar("S", str, date)
# Older days, and symbols with older gaps, that one run requests again. If there are more, they
# take turns, so that the cost of a daily run is bounded.
DAYS_AGAIN = 20
AGAIN = 100
CALENDAR_AHEAD = timedelta(days=31)


class Planner:
    """Turns a request into batches.

    Args:
        catalog: The lake.
        reader: The open source.
        request: What to fetch.
        settings: Defaults and batch sizes.
        calendars: Trading days of the symbols.
        today: The current date.
    """

    def __init__(
        self,
        catalog: Catalog,
        reader: Reader,
        request: IngestRequest,
        settings: Settings,
        calendars: Calendars,
        today: date,
    ) -> None:
        self._catalog = catalog
        self._reader = reader
        self._request = request
        self._settings = settings.ingest
        self._dividends_per_run = settings.moex.dividends_per_run
        self._calendars = calendars
        self._today = today
        self._end = min(request.end or today, today)
        self._planned: list[Window] = []
        self._planned_days: list[date] = []
        # Of a daily board run: what the board lists, and the first day that it requests.
        self._listed: tuple[str, ...] = ()
        self._board_start: date | None = None

    def batches(self) -> Iterator[Batch]:
        """The batches, in the order in which they must be landed.

        Raises:
            UsageError: No symbols are named, and neither source nor lake knows any.
        """
        request, reader = self._request, self._reader
        if request.board and request.board != reader.board:
            raise UsageError(
                f"The source '{reader.name}' has no board '{request.board}'"
                + (f", only '{reader.board}'." if reader.board else ".")
            )
        by_board = request.board or (request.symbols is None and reader.board_by_default)
        if by_board and request.symbols is None:
            return self._board_batches()
        symbols = request.symbols or reader.symbols() or known_symbols(self._catalog, reader.name)
        if not symbols:
            raise UsageError(
                f"Name the symbols to read from '{reader.name}', such as --symbols AAPL,MSFT."
            )
        return self._symbol_batches(tuple(dict.fromkeys(symbols)))

    def newcomers(self, seen: Iterable[str]) -> Iterator[Batch]:
        """The older history of symbols that a daily board run saw for the first time."""
        if self._request.start is not None or self._board_start is None:
            return iter(())
        first = self._board_start
        known = symbols_before(self._catalog, self._reader.name, set(seen), first)
        end = first - timedelta(days=1)
        windows = [
            Window(symbol, self._settings.start, end) for symbol in sorted(set(seen) - known)
        ]
        return self._of_windows(windows, reference=False, expects_quotes=False)

    def rescaled(self, symbols: Iterable[str]) -> Iterator[Batch]:
        """The whole history of symbols that the source has rescaled."""
        names = sorted(symbols)
        first = first_dates(self._catalog, self._reader.name, names) if names else {}
        last = last_dates(self._catalog, self._reader.name, names)
        windows = [
            Window(symbol, first[symbol], self._end, last[symbol])
            for symbol in names
            if first[symbol] < self._start(last[symbol])
        ]
        return self._of_windows(windows, reference=False, expects_quotes=False)

    def second_pass(self, failed: Iterable[str]) -> Iterator[Batch]:
        """A second attempt at what failed for a transient reason."""
        names = set(failed)
        windows = [window for window in self._planned if window.symbol in names]
        yield from self._of_windows(windows, reference=False, expects_quotes=False)
        days = [day for day in self._planned_days if str(day) in names]
        yield from self._of_days(days)

    @property
    def days(self) -> tuple[date, ...]:
        """The days planned for a board so far."""
        return tuple(self._planned_days)

    def newest_known(self, failed: Collection[str]) -> dict[str, date | None]:
        """The symbols whose newest bars were requested, and what the lake holds of them.

        Args:
            failed: Symbols that could not be read.

        Returns:
            By symbol the newest trade date, None if there is none. If the run went by symbol, as of
            the plan: what was landed since is not in it.
        """
        if self._listed:
            held = last_dates(self._catalog, self._reader.name, self._listed)
            return {symbol: held.get(symbol) for symbol in self._listed}
        return {w.symbol: w.last for w in self._planned if w.symbol not in failed}

    @property
    def calendar_end(self) -> date:
        """The last day of the calendar."""
        return self._end if self._end < self._today else self._today + CALENDAR_AHEAD

    def _symbol_batches(self, symbols: Sequence[str]) -> Iterator[Batch]:
        last = last_dates(self._catalog, self._reader.name, symbols)
        missing = self._missing(symbols)
        missing = {name: missing[name] for name in _turn(list(missing), AGAIN, self._today)}
        windows = []
        for symbol in symbols:
            start = self._start(last.get(symbol))
            holes = frozenset(day for day in missing.get(symbol, ()) if day < start)
            windows.append(Window(symbol, start, self._end, last.get(symbol), holes))
        self._planned += windows
        return self._of_windows(
            windows,
            reference=True,
            expects_quotes=self._explicit or any(symbol not in last for symbol in symbols),
        )

    def _of_windows(
        self, windows: Sequence[Window], *, reference: bool, expects_quotes: bool
    ) -> Iterator[Batch]:
        for number, chunk in enumerate(_chunks(windows, self._settings.batch_symbols)):
            symbols = tuple(window.symbol for window in chunk)
            yield Batch(
                start=min(window.first for window in chunk),
                end=max(window.end for window in chunk),
                windows=chunk,
                dividends=symbols,
                calendar_end=self.calendar_end if reference and number == 0 else None,
                reference=reference,
                symbols=frozenset(symbols),
                expects_quotes=expects_quotes,
            )

    def _board_batches(self) -> Iterator[Batch]:
        last = last_board_date(self._catalog, self._reader.name, self._reader.board or "")
        start = self._start(last)
        backfill = last is None or self._request.start is not None
        self._board_start = None if backfill else start
        days = self._reader.sessions(start, self._end)
        yield from self._of_days(self._older_days(start))
        listed = self._reader.symbols()
        self._listed = () if backfill else listed
        self._planned_days += days
        dividends = listed if backfill else _turn(listed, self._dividends_per_run, self._today)
        for number, chunk in enumerate(_chunks(days, self._settings.batch_days)):
            yield Batch(
                start=chunk[0],
                end=chunk[-1],
                days=chunk,
                dividends=dividends if number == 0 else (),
                calendar_start=start,
                calendar_end=self.calendar_end if number == 0 else None,
                reference=number == 0,
                # A failed day within the look-back is read again next time; an older one would
                # be skipped for good, so nothing after it is landed.
                stop_before_failure=chunk[0] < self._end - self._look_back,
                expects_quotes=backfill,
            )

    def _of_days(self, days: Sequence[date]) -> Iterator[Batch]:
        self._planned_days += [day for day in days if day not in self._planned_days]
        for chunk in _chunks(days, self._settings.batch_days):
            yield Batch(start=chunk[0], end=chunk[-1], days=chunk, reference=False)

    @property
    def _explicit(self) -> bool:
        return self._request.start is not None or self._request.end is not None

    @property
    def _look_back(self) -> timedelta:
        return timedelta(days=self._settings.lookback_days)

    def _missing(self, symbols: Collection[str] | None) -> dict[str, set[date]]:
        """Days to request again because the lake has no bar; none if the request names dates."""
        if self._explicit:
            return {}
        source = self._reader.name
        rejected = rejected_days(self._catalog, source, symbols, self._settings.start)
        findings = list_findings(self._catalog, source=source, state=OPEN)
        return days_to_ask_for(findings, self._calendars.sessions, rejected)

    def _older_days(self, start: date) -> list[date]:
        """Days before a board's look-back on which bars are missing; a limited number per run."""
        if self._explicit:
            return []
        findings = list_findings(
            self._catalog, source=self._reader.name, rule=DAY_NOT_READ, state=OPEN
        )
        days = {finding.first_date for finding in findings}
        days.update(*self._missing(None).values())
        return sorted(_turn(sorted(day for day in days if day < start), DAYS_AGAIN, self._today))

    def _start(self, last: date | None) -> date:
        if self._request.start is not None:
            return self._request.start
        if last is None:
            return self._settings.start
        return min(last, self._end) - self._look_back


def _chunks(items: Sequence[T], size: int) -> Iterator[tuple[T, ...]]:
    iterator = iter(items)
    while chunk := tuple(islice(iterator, size)):
        yield chunk


def _turn(items: Sequence[S], count: int, today: date) -> tuple[S, ...]:
    """A limited number of items that rotates daily, so that each gets its turn."""
    if not items or not count:
        return ()
    ordered = sorted(items)
    first = today.toordinal() * count % len(ordered)
    return tuple((ordered[first:] + ordered[:first])[:count])
