"""The trading days of each symbol: its source's own calendar, or that of its exchange."""

from collections.abc import Mapping, Sequence
from datetime import date

import pyarrow as pa
from pyiceberg.catalog import Catalog

from catalog.tables import CALENDAR, SYMBOL_CALENDARS
from lakehouse.landing.held import open_days, rows_of
from lakehouse.landing.landing import Landing
from lakehouse.sources.exchanges import exchange_calendar, sessions


class Calendars:
    """Calendars of the symbols of one source.

    Args:
        catalog: The lake.
        source: Quote source.
        first: First day of the exchanges' calendars.
        last: Last day of the exchanges' calendars.
    """

    def __init__(self, catalog: Catalog, source: str, first: date, last: date) -> None:
        self._catalog = catalog
        self._source = source
        self._first, self._last = first, last
        rows = rows_of(catalog, SYMBOL_CALENDARS, source, columns=("symbol", "calendar"))
        self._names: dict[str, str] = {
            row["symbol"]: row["calendar"] for row in rows.to_pylist() if row["calendar"]
        }
        self._met: dict[str, str] = {}
        self._own: list[date] | None = None
        self._others: dict[str, Sequence[date]] = {}

    def meet(self, names: Mapping[str, str]) -> None:
        """Record which symbols follow the calendar of another exchange."""
        self._met |= names
        self._names |= names

    def add_days(self, rows: pa.Table) -> None:
        """Record days of the source's own calendar that are about to land."""
        if rows.num_rows:
            arriving = rows.filter(rows.column("is_open")).column("trade_date").to_pylist()
            self._own = sorted({*self._days(), *arriving})

    def sessions(self, symbol: str) -> Sequence[date]:
        """The known trading days of a symbol, sorted."""
        name = self._names.get(symbol)
        if name is None:
            return self._days()
        if name not in self._others:
            self._others[name] = sessions(name, self._first, self._last)
        return self._others[name]

    def land(self, landing: Landing, start: date, end: date) -> None:
        """Merge the symbols' calendars into the lake, with the days of those calendars.

        Args:
            landing: The load to add them to.
            start: First day of the calendars.
            end: Last day of the calendars.

        Raises:
            CommitConflict: Other writers won every attempt.
        """
        if not self._met:
            return
        rows = {
            "source": [self._source] * len(self._met),
            "symbol": list(self._met),
            "calendar": list(self._met.values()),
        }
        landing.land_rows(SYMBOL_CALENDARS, pa.table(rows))
        days = [exchange_calendar(name, name, start, end) for name in set(self._met.values())]
        landing.land_rows(CALENDAR, pa.concat_tables(days))

    def _days(self) -> list[date]:
        if self._own is None:
            self._own = open_days(self._catalog, self._source)
        return self._own
