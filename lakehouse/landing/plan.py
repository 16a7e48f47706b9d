"""What an ingest has to fetch, from what the lake already holds."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from itertools import islice
from typing import TypeVar

from pyiceberg.catalog import Catalog

from lakehouse.errors import UsageError
from lakehouse.landing.held import known_symbols, last_board_date, last_dates, symbols_before
from lakehouse.landing.request import IngestRequest
from lakehouse.settings import Settings
from lakehouse.sources.reader import Batch, Reader, Window

T = TypeVar("T")
CALENDAR_AHEAD = timedelta(days=31)


class Planner:
    """Turns a request into batches.

    Args:
        catalog: The lake.
        reader: The open source.
        request: What was asked for.
        settings: Defaults and batch sizes.
        today: The current date.
    """

    def __init__(
        self,
        catalog: Catalog,
        reader: Reader,
        request: IngestRequest,
        settings: Settings,
        today: date,
    ) -> None:
        self._catalog = catalog
        self._reader = reader
        self._request = request
        self._settings = settings.ingest
        self._dividends_per_run = settings.moex.dividends_per_run
        self._today = today
        self._end = min(request.end or today, today)

    def batches(self) -> Iterator[Batch]:
        """The batches, in the order in which they are to be landed.

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
        """The older history of symbols that a daily board run met for the first time."""
        if self._request.start is not None or self._board_start is None:
            return iter(())
        first = self._board_start
        known = symbols_before(self._catalog, self._reader.name, set(seen), first)
        end = first - timedelta(days=1)
        windows = [
            Window(symbol, self._settings.start, end) for symbol in sorted(set(seen) - known)
        ]
        return self._of_windows(windows, reference=False, expects_quotes=False)

    _board_start: date | None = None

    def _symbol_batches(self, symbols: Sequence[str]) -> Iterator[Batch]:
        last = last_dates(self._catalog, self._reader.name, symbols)
        windows = [
            Window(symbol, self._start(last.get(symbol)), self._end, last.get(symbol))
            for symbol in symbols
        ]
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
                start=min(window.start for window in chunk),
                end=max(window.end for window in chunk),
                windows=chunk,
                dividends=symbols,
                calendar_end=self._calendar_end if reference and number == 0 else None,
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
        listed = self._reader.symbols()
        dividends = listed if backfill else _turn(listed, self._dividends_per_run, self._today)
        for number, chunk in enumerate(_chunks(days, self._settings.batch_days)):
            yield Batch(
                start=chunk[0],
                end=chunk[-1],
                days=chunk,
                dividends=dividends if number == 0 else (),
                calendar_start=start,
                calendar_end=self._calendar_end if number == 0 else None,
                reference=number == 0,
                # A day that fails within the look-back is read again next time anyway; an older
                # one would be passed over for good, so nothing after it is landed.
                stop_before_failure=chunk[0] < self._end - self._look_back,
                expects_quotes=backfill,
            )

    @property
    def _explicit(self) -> bool:
        return self._request.start is not None or self._request.end is not None

    @property
    def _look_back(self) -> timedelta:
        return timedelta(days=self._settings.lookback_days)

    @property
    def _calendar_end(self) -> date:
        return self._end if self._end < self._today else self._today + CALENDAR_AHEAD

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


def _turn(symbols: Sequence[str], count: int, today: date) -> tuple[str, ...]:
    """So many of the symbols, others every day, all within a cycle."""
    if not symbols or not count:
        return ()
    ordered = sorted(symbols)
    first = today.toordinal() * count % len(ordered)
    return tuple((ordered[first:] + ordered[:first])[:count])
