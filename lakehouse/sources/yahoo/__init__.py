"""Yahoo's chart API as a dlt source: as-traded bars, splits and dividends of single symbols.

Yahoo adjusts its bars for splits, and re-adjusts all of them after each new one. The lake gets the
prices as traded (see ``chart.py``), so that history never changes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pyarrow as pa

from lakehouse.settings import Settings
from lakehouse.settings.sources import YahooSettings
from lakehouse.sources.exchanges import exchange_calendar, sessions
from lakehouse.sources.http import HttpClient, Refused
from lakehouse.sources.reader import Batch, FetchLog, Window
from lakehouse.sources.yahoo.chart import Chart, parse_chart

if TYPE_CHECKING:
    from dlt.extract import DltSource

NOT_FOUND = 404
TABLES = ("quotes", "splits", "dividends", "securities")
ONLY_BROWSERS = (
    " Yahoo answers so to clients without a browser's TLS fingerprint: pip install "
    "'weekahead[live]' and set WEEKAHEAD_YAHOO__TRANSPORT=curl_cffi."
)
INTERVAL = {"interval": "1d", "includePrePost": "false", "events": "div,splits"}


@contextmanager
def open_source(settings: Settings) -> Iterator["YahooReader"]:
    """Open Yahoo, or the host that WEEKAHEAD_YAHOO__BASE_URL names."""
    as_browser = settings.yahoo.transport == "curl_cffi"
    with HttpClient(
        settings.http,
        base_url=settings.yahoo.base_url,
        setting="WEEKAHEAD_YAHOO__BASE_URL",
        as_browser=as_browser,
        when_limited="" if as_browser else ONLY_BROWSERS,
    ) as http:
        yield YahooReader(http, settings.yahoo)


class YahooReader:
    """Reads symbols one by one; Yahoo has no boards and cannot list its symbols."""

    name = "yahoo"
    board = None
    board_by_default = False

    def __init__(self, http: HttpClient, settings: YahooSettings) -> None:
        self.calendar = settings.calendar
        self._http = http

    @property
    def requests(self) -> int:
        """Number of HTTP requests so far."""
        return self._http.requests

    def symbols(self) -> tuple[str, ...]:
        """Empty, because Yahoo cannot list its symbols."""
        return ()

    def sessions(self, start: date, end: date) -> tuple[date, ...]:
        """The sessions of the configured calendar.

        Args:
            start: First day.
            end: Last day, inclusive.

        Returns:
            Dates in ascending order.

        Raises:
            SettingsError: There is no such calendar.
        """
        return sessions(self.calendar, start, end)

    def resources(self, batch: Batch, log: FetchLog) -> "DltSource":
        """The dlt source of a batch; one request per symbol returns everything about it.

        Args:
            batch: What to read; only its windows and calendar are used.
            log: Collects failures, findings and rejects; a failing symbol does not stop the others.

        Returns:
            A source whose resources yield Arrow tables.
        """
        import dlt

        @dlt.resource(selected=False)
        def windows() -> Iterator[Window]:
            yield from batch.windows

        @dlt.transformer(data_from=windows, selected=False, parallelized=True)
        def charts(window: Window) -> Iterator[Chart]:
            chart = log.guarded(window.symbol, self.name, lambda: self._chart(window))
            if chart is not None:
                self._note(chart, window, log)
                yield chart

        def table_of(name: str) -> Any:
            def rows(chart: Chart) -> Iterator[pa.Table]:
                table: pa.Table = getattr(chart, name)
                if table.num_rows:
                    yield table

            return dlt.transformer(rows, data_from=charts, name=name)

        @dlt.resource(name="calendar")
        def calendar() -> Iterator[pa.Table]:
            if batch.calendar_end and not log.gave_up:
                first = batch.calendar_start or batch.start
                yield exchange_calendar(self.calendar, self.name, first, batch.calendar_end)

        @dlt.source(name=self.name)
        def yahoo() -> list[Any]:
            return [windows, charts, *map(table_of, TABLES), calendar]

        return yahoo()

    def _note(self, chart: Chart, window: Window, log: FetchLog) -> None:
        """Record everything in a response besides its tables."""
        symbol = window.symbol
        log.rested(symbol, chart.idle)
        log.looked_at[symbol] = window.first, window.end
        if not chart.has_volume:
            log.without_volume.add(symbol)
        if chart.calendar != self.calendar:
            log.calendars[symbol] = chart.calendar
        for finding in chart.findings:
            log.find(finding)
        for day, reason, event in chart.rejects:
            log.reject(self.name, symbol, day, reason, event)
        log.done(symbol, chart.quotes.num_rows)

    def _chart(self, window: Window) -> Chart:
        path = f"/v8/finance/chart/{quote(window.symbol, safe='')}"
        now = datetime.now(UTC)
        # Always until now, because later splits are needed to undo Yahoo's adjustment. Start a day
        # early, because midnight in the east is still the previous day in UTC.
        period = {
            "period1": _epoch(window.first - timedelta(days=1)),
            "period2": _epoch(now.date() + timedelta(days=1)),
        }
        where = f"{self._http.host}{path}"
        try:
            answer = self._http.get_json(path, {**period, **INTERVAL})
        except Refused as error:
            if not isinstance(error.body, dict) or "chart" not in error.body:
                raise
            if error.status != NOT_FOUND:
                # "Data doesn't exist for startDate": a known symbol without bars on these dates.
                return Chart(calendar=self.calendar)
            answer = error.body
        return parse_chart(answer, window, now=now, where=where, calendar=self.calendar)


def _epoch(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
