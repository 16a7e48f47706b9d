"""Moscow Exchange ISS as a dlt source: unadjusted history and what explains its jumps.

The same code reads everything that speaks ISS, the sample's replay server among it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pyarrow as pa

from lakehouse.errors import BadPayload, SourceUnavailable, UnknownSymbol
from lakehouse.settings import Settings
from lakehouse.settings.sources import MoexSettings
from lakehouse.sources.http import HttpClient
from lakehouse.sources.moex.iss import Block, IssClient, NotOffered
from lakehouse.sources.moex.tables import (
    Rename,
    calendar_table,
    dividends_table,
    quotes_table,
    renames,
    securities_table,
    splits_table,
)
from lakehouse.sources.reader import Batch, FetchLog, Window
from lakehouse.sources.sessions import exchange_calendar

if TYPE_CHECKING:
    from dlt.extract import DltSource

Read = Callable[[], pa.Table]


@contextmanager
def open_source(settings: Settings) -> Iterator["MoexReader"]:
    """Open the live exchange, or whatever WEEKAHEAD_MOEX__BASE_URL points to."""
    base_url = settings.moex.base_url
    with HttpClient(settings.http, base_url=base_url, setting="WEEKAHEAD_MOEX__BASE_URL") as http:
        yield MoexReader(http, settings.moex, name="moex")


class MoexReader:
    """Reads one ISS host.

    Args:
        http: The client.
        settings: Board, engine and market.
        name: Value of the column ``source``.
        board_by_default: Whether to read the whole board when no symbols are named.
    """

    def __init__(
        self, http: HttpClient, settings: MoexSettings, *, name: str, board_by_default: bool = True
    ) -> None:
        self.name = name
        self.board = settings.board
        self.board_by_default = board_by_default
        self._http = http
        self._iss = IssClient(http)
        self._settings = settings
        self._market = f"engines/{settings.engine}/markets/{settings.market}"
        self._renames: tuple[Rename, ...] | None = None

    @property
    def requests(self) -> int:
        """HTTP requests made so far."""
        return self._http.requests

    def symbols(self) -> tuple[str, ...]:
        """The symbols of the configured board."""
        return tuple(sorted(self._listed().values("SECID")))

    def sessions(self, start: date, end: date) -> tuple[date, ...]:
        """Trading days by the exchange's calendar; working days where it says nothing."""
        days = [start + timedelta(n) for n in range((end - start).days + 1)]
        try:
            calendar = self._calendar(start, end)
        except NotOffered:
            known = {}
        else:
            known = dict(
                zip(
                    calendar.column("trade_date").to_pylist(),
                    calendar.column("is_open").to_pylist(),
                    strict=True,
                )
            )
        return tuple(day for day in days if known.get(day, day.weekday() < 5))

    def resources(self, batch: Batch, log: FetchLog) -> "DltSource":
        """The dlt source of a batch."""
        import dlt

        first = batch.calendar_start or batch.start

        @dlt.resource(selected=False)
        def windows() -> Iterator[Window]:
            yield from batch.windows

        @dlt.resource(selected=False)
        def days() -> Iterator[date]:
            yield from batch.days

        @dlt.transformer(data_from=windows, table_name="quotes", parallelized=True)
        def quotes(window: Window) -> Iterator[pa.Table]:
            yield from self._guarded(log, window.symbol, lambda: self._history(window, log))

        @dlt.transformer(data_from=days, table_name="quotes", parallelized=True)
        def quotes_by_day(day: date) -> Iterator[pa.Table]:
            yield from self._guarded(log, str(day), lambda: self._board(day, log))

        @dlt.resource(name="splits")
        def splits() -> Iterator[pa.Table]:
            yield from self._reference(log, "splits", lambda: self._splits(batch))

        @dlt.resource(name="dividends")
        def dividends() -> Iterator[pa.Table]:
            for symbol in batch.dividends:
                yield from self._reference(
                    log, f"dividends of {symbol}", lambda symbol=symbol: self._dividends(symbol)
                )

        @dlt.resource(name="calendar")
        def calendar() -> Iterator[pa.Table]:
            last = batch.calendar_end or first
            yield from self._reference(
                log, "calendar", lambda: self._calendar_or_fallback(first, last, log)
            )

        @dlt.resource(name="securities")
        def securities() -> Iterator[pa.Table]:
            yield from self._reference(log, "securities", lambda: self._securities(batch, log))

        @dlt.source(name=self.name)
        def moex() -> list[Any]:
            found: list[Any] = []
            if batch.windows:
                found += [windows, quotes]
            if batch.days:
                found += [days, quotes_by_day]
            if batch.reference:
                found += [splits, securities]
            if batch.calendar_end:
                found.append(calendar)
            if batch.dividends:
                found.append(dividends)
            return found

        return moex()

    def _guarded(self, log: FetchLog, name: str, read: Read) -> Iterator[pa.Table]:
        """Read one symbol or day; its failure is noted and does not stop the others."""
        if log.gave_up:
            log.skip(name)
            return
        try:
            table = read()
        except (SourceUnavailable, BadPayload, UnknownSymbol) as error:
            log.fail(name, error)
            return
        log.done(name, table.num_rows)
        if table.num_rows:
            yield table

    def _reference(self, log: FetchLog, name: str, read: Any) -> Iterator[pa.Table]:
        try:
            table = read()
        except NotOffered as error:
            log.warn(f"no {name}: {error}")
            return
        except (SourceUnavailable, BadPayload) as error:
            log.fail(name, error)
            return
        if table.num_rows:
            yield table

    def _history(self, window: Window, log: FetchLog) -> pa.Table:
        path = self._history_path(window.symbol)
        block = self._iss.pages(path, "history", _dates(window.start, window.end))
        table = quotes_table(block, self.name, self.board)
        older = self._predecessor(window, table, log)
        if older is not None:
            table = pa.concat_tables([older, table])
        if not table.num_rows and window.last is None and not self._knows(window.symbol):
            raise UnknownSymbol(
                f"{self.name} has no symbol '{window.symbol}' on board {self.board}: "
                "check its spelling, or the board in WEEKAHEAD_MOEX__BOARD."
            )
        return table

    def _predecessor(self, window: Window, own: pa.Table, log: FetchLog) -> pa.Table | None:
        """Bars from before a ticker change, under the new name; None without such a change."""
        for rename in self._changes(log):
            if rename.new != window.symbol or rename.day <= window.start:
                continue
            till = min(window.end, rename.day - timedelta(days=1))
            earlier = Window(rename.old, window.start, till)
            table = self._renamed_history(earlier, log)
            taken = set(own.column("trade_date").to_pylist())
            keep = [day not in taken for day in table.column("trade_date").to_pylist()]
            table = table.filter(pa.array(keep, pa.bool_()))
            names = pa.array([window.symbol] * table.num_rows, pa.string())
            return table.set_column(table.column_names.index("symbol"), "symbol", names)
        return None

    def _renamed_history(self, window: Window, log: FetchLog) -> pa.Table:
        block = self._iss.pages(
            self._history_path(window.symbol), "history", _dates(window.start, window.end)
        )
        table = quotes_table(block, self.name, self.board)
        older = self._predecessor(window, table, log)
        return table if older is None else pa.concat_tables([older, table])

    def _board(self, day: date, log: FetchLog) -> pa.Table:
        path = f"/iss/history/{self._market}/boards/{self.board}/securities.json"
        table = quotes_table(
            self._iss.pages(path, "history", {"date": day.isoformat()}), self.name, self.board
        )
        names = {rename.old: rename.new for rename in self._changes(log)}
        if not names:
            return table
        current = [_latest(symbol, names) for symbol in table.column("symbol").to_pylist()]
        at = table.column_names.index("symbol")
        return table.set_column(at, "symbol", pa.array(current, pa.string()))

    def _changes(self, log: FetchLog) -> tuple[Rename, ...]:
        """Ticker changes, read once."""
        if self._renames is None:
            path = f"/iss/history/{self._market}/securities/changeover.json"
            try:
                self._renames = renames(self._iss.block(path, "changeover", {}))
            except NotOffered as error:
                log.warn(f"no ticker changes: {error}")
                self._renames = ()
        return self._renames

    def _knows(self, symbol: str) -> bool:
        """Whether the exchange has any bar of the symbol; an unknown one answers with nothing."""
        page = self._iss.block(self._history_path(symbol), "history", {"start": 0})
        return page.height > 0

    def _history_path(self, symbol: str) -> str:
        board = self.board
        return f"/iss/history/{self._market}/boards/{board}/securities/{quote(symbol)}.json"

    def _splits(self, batch: Batch) -> pa.Table:
        path = f"/iss/statistics/engines/{self._settings.engine}/splits.json"
        return splits_table(self._iss.block(path, "splits", {}), self.name, batch.symbols)

    def _dividends(self, symbol: str) -> pa.Table:
        path = f"/iss/securities/{quote(symbol)}/dividends.json"
        return dividends_table(self._iss.block(path, "dividends", {}), self.name, symbol)

    def _calendar(self, start: date, end: date) -> pa.Table:
        path = f"/iss/calendars/{self._settings.engine}.json"
        block = self._iss.block(path, "off_days", {**_dates(start, end), "show_all_days": 1})
        return calendar_table(block, self.name)

    def _calendar_or_fallback(self, start: date, end: date, log: FetchLog) -> pa.Table:
        try:
            return self._calendar(start, end)
        except NotOffered as error:
            log.warn(f"the calendar {self._settings.calendar} stands in: {error}")
            return exchange_calendar(self._settings.calendar, self.name, start, end)

    def _listed(self) -> Block:
        path = f"/iss/{self._market}/boards/{self.board}/securities.json"
        return self._iss.block(path, "securities", {}).require("SECID")

    def _securities(self, batch: Batch, log: FetchLog) -> pa.Table:
        last = {window.symbol: window.last for window in batch.windows}
        asked = None if batch.symbols is None else last
        return securities_table(self._listed(), self.name, asked, self._changes(log))


def _dates(start: date, end: date) -> dict[str, str | int]:
    return {"from": start.isoformat(), "till": end.isoformat()}


def _latest(symbol: str, names: dict[str, str]) -> str:
    seen = set()
    while symbol in names and symbol not in seen:
        seen.add(symbol)
        symbol = names[symbol]
    return symbol
