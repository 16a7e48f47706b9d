"""Yahoo's chart API as a dlt source: as-traded bars, splits and dividends of single symbols.

Yahoo adjusts its bars for splits, and re-adjusts all of them whenever another one happens. What is
landed are the prices as they were traded (see ``chart.py``), so that history stays as it is.
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
    """Open Yahoo, or whatever WEEKAHEAD_YAHOO__BASE_URL points to."""
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
    """Reads symbols one by one; Yahoo knows no boards and lists no symbols."""

    name = "yahoo"
    board = None
    board_by_default = False

    def __init__(self, http: HttpClient, settings: YahooSettings) -> None:
        self.calendar = settings.calendar
        self._http = http

    @property
    def requests(self) -> int:
        """HTTP requests made so far."""
        return self._http.requests

    def symbols(self) -> tuple[str, ...]:
        """Nothing: Yahoo cannot list its symbols."""
        return ()

    def sessions(self, start: date, end: date) -> tuple[date, ...]:
        """The days on which the configured calendar's exchange is open."""
        return sessions(self.calendar, start, end)

    def resources(self, batch: Batch, log: FetchLog) -> "DltSource":
        """The dlt source of a batch; one request per symbol brings all there is about it."""
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
        """What an answer says besides its tables."""
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
        # Up to now, whatever the window: later splits are needed to undo Yahoo's adjustment. From a
        # day before, because midnight in the east is the day before in Greenwich.
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
                # "Data doesn't exist for startDate": known, but without bars in these dates.
                return Chart(calendar=self.calendar)
            answer = error.body
        return parse_chart(answer, window, now=now, where=where, calendar=self.calendar)


def _epoch(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
