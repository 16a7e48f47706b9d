"""Moscow Exchange ISS as a dlt source: unadjusted history, and the actions that explain its jumps.

The same code reads everything that speaks ISS, including the sample's replay server.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from lakehouse.errors import BadPayload, SourceUnavailable, UnknownSymbol
from lakehouse.settings import Settings
from lakehouse.settings.sources import MoexSettings
from lakehouse.sources.exchanges import exchange_calendar
from lakehouse.sources.http import HttpClient
from lakehouse.sources.moex.iss import Block, IssClient, NotOffered
from lakehouse.sources.moex.renames import SLACK, Rename, Renames, read_renames
from lakehouse.sources.moex.tables import (
    Days,
    calendar_table,
    dividends_table,
    quotes_table,
    securities_table,
    splits_table,
)
from lakehouse.sources.reader import QUOTES_SCHEMA, Batch, FetchLog, Window

if TYPE_CHECKING:
    from dlt.extract import DltSource

Read = Callable[[], pa.Table]
ZONE = ZoneInfo("Europe/Moscow")
INDICES = "index"
ONE_DAY = timedelta(days=1)
# Missing dates closer together than this are requested at once.
ONE_PAGE = timedelta(days=90)


@contextmanager
def open_source(settings: Settings) -> Iterator["MoexReader"]:
    """Open the live exchange, or the host that WEEKAHEAD_MOEX__BASE_URL names."""
    base_url = settings.moex.base_url
    with HttpClient(settings.http, base_url=base_url, setting="WEEKAHEAD_MOEX__BASE_URL") as http:
        yield MoexReader(http, settings.moex, name="moex")


class MoexReader:
    """Reads one ISS host.

    Args:
        http: The client.
        settings: Board, engine and market.
        name: Value of the column ``source``.
        board_by_default: Whether to read the whole board if no symbols are named.
    """

    def __init__(
        self, http: HttpClient, settings: MoexSettings, *, name: str, board_by_default: bool = True
    ) -> None:
        self.name = name
        self.board = settings.board
        self.board_by_default = board_by_default
        self.calendar = settings.calendar
        self._http = http
        self._iss = IssClient(http)
        self._settings = settings
        self._market = f"engines/{settings.engine}/markets/{settings.market}"
        self._renames: Renames | None = None
        self._apart: dict[Rename, bool] = {}
        self._days = Days(datetime.now(ZONE).date(), settings.weekend_sessions == "own")

    @property
    def requests(self) -> int:
        """Number of HTTP requests so far."""
        return self._http.requests

    def symbols(self) -> tuple[str, ...]:
        """The symbols of the configured board."""
        return tuple(sorted(self._listed().values("SECID")))

    def sessions(self, start: date, end: date) -> tuple[date, ...]:
        """Trading days of the exchange's calendar; weekdays where it has no entry.

        Args:
            start: First day.
            end: Last day, inclusive.

        Returns:
            Dates in ascending order.

        Raises:
            SourceUnavailable: The host does not answer or refuses.
            BadPayload: The calendar is not in ISS format.
        """
        days = [start + timedelta(n) for n in range((end - start).days + 1)]
        try:
            calendar = self._calendar(start, end, FetchLog())
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
        """The dlt source of a batch.

        Args:
            batch: What to read.
            log: Collects failures, findings and rejects; a failing symbol does not stop the others.

        Returns:
            A source whose resources yield Arrow tables.
        """
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
            yield from self._reference(log, "splits", lambda: self._splits(batch, log))

        @dlt.resource(name="dividends")
        def dividends() -> Iterator[pa.Table]:
            for symbol in batch.dividends:
                name = f"dividends of {symbol}"
                yield from self._reference(log, name, partial(self._dividends, symbol, log))

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
        """Read one symbol or day; a failure is logged and does not stop the others."""
        table = log.guarded(name, self.name, read)
        if table is None:
            return
        log.done(name, table.num_rows)
        if table.num_rows:
            yield table

    def _reference(self, log: FetchLog, name: str, read: Any) -> Iterator[pa.Table]:
        try:
            table = read()
        except NotOffered as error:
            log.not_offered(name, str(error))
            return
        except (SourceUnavailable, BadPayload) as error:
            log.fail(name, error)
            return
        if table.num_rows:
            yield table

    def _history(self, window: Window, log: FetchLog) -> pa.Table:
        symbol = window.symbol
        parts = [self._named(symbol, first, last, log) for first, last in _spans(window)]
        table = pa.concat_tables(parts)
        if not table.num_rows and window.last is None:
            self._explain_nothing(symbol, log)
        return table

    def _named(self, symbol: str, start: date, end: date, log: FetchLog) -> pa.Table:
        """Bars between two dates of a security, given its name today, under all past names."""
        names = self._changes(log).names_of(symbol, start, end)
        if not names:
            return QUOTES_SCHEMA.empty_table()
        tables: list[pa.Table] = []
        taken: set[date] = set()
        for name in names:
            # If the list dates a change too late, some bars before it have the new name.
            first = name.first if name is names[-1] else max(start, name.first - SLACK)
            table = self._bars(name.symbol, first, name.last, log, known_as=symbol)
            days = table.column("trade_date").to_pylist()
            if taken:
                table = table.filter(pa.array([day not in taken for day in days], pa.bool_()))
            taken.update(days)
            column = pa.array([symbol] * table.num_rows, pa.string())
            if name.symbol != symbol:
                table = table.set_column(table.column_names.index("symbol"), "symbol", column)
            tables.insert(0, table)
        return pa.concat_tables(tables)

    def _bars(self, name: str, start: date, end: date, log: FetchLog, *, known_as: str) -> pa.Table:
        block = self._iss.pages(self._history_path(name), "history", _dates(start, end))
        table, rested = self._quotes(block, log)
        log.rested(known_as, rested.get(name, ()))
        return table

    def _quotes(self, block: Block, log: FetchLog) -> tuple[pa.Table, dict[str, set[date]]]:
        index = self._settings.market == INDICES
        table, rested = quotes_table(block, self.name, self.board, self._days, has_volume=not index)
        if index:
            log.without_volume.update(pc.unique(table.column("symbol")).drop_null().to_pylist())
        return table, rested

    def _board(self, day: date, log: FetchLog) -> pa.Table:
        path = f"/iss/history/{self._market}/boards/{self.board}/securities.json"
        block = self._iss.pages(path, "history", {"date": day.isoformat()})
        table, rested = self._quotes(block, log)
        for symbol, days in rested.items():
            log.rested(symbol, days)
        changes = self._changes(log)
        present = {name for name in block.values("SECID") if isinstance(name, str)}
        now = {name: changes.today(name, day, present) for name in present}
        if all(name == today for name, today in now.items()):
            return table
        current = [now.get(symbol, symbol) for symbol in table.column("symbol").to_pylist()]
        at = table.column_names.index("symbol")
        return table.set_column(at, "symbol", pa.array(current, pa.string()))

    def _changes(self, log: FetchLog) -> Renames:
        """Ticker changes, read once."""
        if self._renames is None:
            path = f"/iss/history/{self._market}/securities/changeover.json"
            try:
                block = self._iss.block(path, "changeover", {})
            except NotOffered as error:
                log.not_offered("ticker changes", str(error))
                found = []
            else:
                found = read_renames(block, self._rejecting(log))
            self._renames = Renames(found, self._together)
        return self._renames

    def _together(self, change: Rename) -> bool:
        """Whether both names of a change traded on the same days shortly before it."""
        if change not in self._apart:
            days = [
                set(
                    self._iss.pages(
                        self._history_path(name),
                        "history",
                        _dates(change.day - SLACK, change.day - ONE_DAY),
                    ).values("TRADEDATE")
                )
                for name in (change.old, change.new)
            ]
            self._apart[change] = bool(days[0] & days[1])
        return self._apart[change]

    def _explain_nothing(self, symbol: str, log: FetchLog) -> None:
        """Explain why a symbol has no bars; ISS answers unknown symbols with an empty block.

        Raises:
            UnknownSymbol: The board never had any; the message names boards that have, or the
                symbol's present name.
        """
        changes = self._changes(log)
        later = [change for change in changes if change.old == symbol]
        if later:
            name = changes.today(symbol, later[-1].day - ONE_DAY, set())
            raise UnknownSymbol(
                f"{self.name}: what was '{symbol}' until {later[-1].day} is called '{name}' today: "
                "ask for that name; it brings the history under the old one."
            )
        if self._iss.block(self._history_path(symbol), "history", {"start": 0}).height:
            return
        boards = self._boards_of(symbol)
        hint = (
            f"Boards that have it: {', '.join(boards)}. Name one in WEEKAHEAD_MOEX__BOARD."
            if boards
            else "Check its spelling, or the board in WEEKAHEAD_MOEX__BOARD."
        )
        raise UnknownSymbol(f"{self.name} has no symbol '{symbol}' on board {self.board}. {hint}")

    def _boards_of(self, symbol: str) -> list[str]:
        """The boards with a history of a symbol, with first and last date."""
        try:
            block = self._iss.block(f"/iss/securities/{quote(symbol, safe='')}.json", "boards", {})
        except NotOffered:
            return []
        return [
            f"{row['BOARDID']} ({row.get('HISTORY_FROM')} to {row.get('HISTORY_TILL')})"
            for row in block.require("BOARDID").records()
            if row.get("HISTORY_FROM") and row["BOARDID"] != self.board
        ]

    def _history_path(self, symbol: str) -> str:
        name = quote(symbol, safe="")
        return f"/iss/history/{self._market}/boards/{self.board}/securities/{name}.json"

    def _splits(self, batch: Batch, log: FetchLog) -> pa.Table:
        path = f"/iss/statistics/engines/{self._settings.engine}/splits.json"
        block = self._iss.block(path, "splits", {})
        return splits_table(block, self.name, batch.symbols, self._rejecting(log))

    def _dividends(self, symbol: str, log: FetchLog) -> pa.Table:
        path = f"/iss/securities/{quote(symbol, safe='')}/dividends.json"
        block = self._iss.block(path, "dividends", {})
        log.looked_at[symbol] = date.min, date.max
        return dividends_table(
            block, self.name, symbol, self._days.today, self._rejecting(log), log.find
        )

    def _calendar(self, start: date, end: date, log: FetchLog) -> pa.Table:
        path = f"/iss/calendars/{self._settings.engine}.json"
        block = self._iss.block(path, "off_days", {**_dates(start, end), "show_all_days": 1})
        return calendar_table(block, self.name, self._days, self._rejecting(log))

    def _calendar_or_fallback(self, start: date, end: date, log: FetchLog) -> pa.Table:
        try:
            return self._calendar(start, end, log)
        except NotOffered as error:
            log.warn(f"the calendar {self.calendar} is used instead: {error}")
            return exchange_calendar(self.calendar, self.name, start, end)

    def _rejecting(self, log: FetchLog) -> Callable[[str | None, date | None, str, Any], None]:
        return lambda symbol, day, reason, row: log.reject(self.name, symbol, day, reason, row)

    def _listed(self) -> Block:
        path = f"/iss/{self._market}/boards/{self.board}/securities.json"
        return self._iss.block(path, "securities", {}).require("SECID")

    def _securities(self, batch: Batch, log: FetchLog) -> pa.Table:
        last = {window.symbol: window.last for window in batch.windows}
        asked = None if batch.symbols is None else last
        return securities_table(self._listed(), self.name, asked, self._changes(log))


def _dates(start: date, end: date) -> dict[str, str | int]:
    return {"from": start.isoformat(), "till": end.isoformat()}


def _spans(window: Window) -> list[tuple[date, date]]:
    """Ranges to request: the window, and before it the missing dates, grouped if close together."""
    spans: list[tuple[date, date]] = []
    for day in sorted(window.holes):
        if spans and day - spans[-1][0] <= ONE_PAGE:
            spans[-1] = spans[-1][0], day
        else:
            spans.append((day, day))
    return [*spans, (window.start, window.end)]
