"""A small in-memory exchange that answers in ISS blocks."""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property
from typing import Any

PAGE_ROWS = 100
HISTORY_COLUMNS = (
    "BOARDID",
    "TRADEDATE",
    "SHORTNAME",
    "SECID",
    "NUMTRADES",
    "VALUE",
    "OPEN",
    "LOW",
    "HIGH",
    "LEGALCLOSEPRICE",
    "WAPRICE",
    "CLOSE",
    "VOLUME",
    "TRADINGSESSION",
    "CURRENCYID",
)

Blocks = dict[str, dict[str, list[Any]]]


@dataclass(frozen=True)
class Bar:
    """One day of one symbol, as traded; the day is in ISO format."""

    day: str
    open: float | None
    high: float | None
    low: float | None
    close: float | None
    volume: int | None


@dataclass
class Exchange:
    """Bars by symbol in date order, and reference data.

    Attributes:
        bars: Bars by symbol.
        splits: (day, symbol, before, after).
        dividends: (record date, amount) by symbol.
        changes: Ticker changes: (day, old, new).
        board: The only board.
        currency: Currency of all prices.
    """

    bars: Mapping[str, Sequence[Bar]]
    splits: Sequence[tuple[str, str, float, float]] = ()
    dividends: Mapping[str, Sequence[tuple[str, float]]] = field(default_factory=dict)
    changes: Sequence[tuple[str, str, str]] = ()
    board: str = "SAMPLE"
    currency: str = "USD"

    @cached_property
    def _days(self) -> dict[str, list[str]]:
        return {symbol: [bar.day for bar in bars] for symbol, bars in self.bars.items()}

    @cached_property
    def _by_day(self) -> dict[str, list[tuple[str, Bar]]]:
        days: dict[str, list[tuple[str, Bar]]] = defaultdict(list)
        for symbol, bars in sorted(self.bars.items()):
            for bar in bars:
                days[bar.day].append((symbol, bar))
        return days

    def history(self, symbol: str, start: int, first: str = "", last: str = "9999") -> Blocks:
        """A page of one symbol's bars; empty for an unknown symbol.

        Args:
            symbol: The symbol.
            start: Index of the first row of the page.
            first: First day, ISO.
            last: Last day, ISO, inclusive.

        Returns:
            The blocks ``history`` and ``history.cursor``.
        """
        days = self._days.get(symbol, [])
        low, high = bisect_left(days, first), bisect_right(days, last)
        chosen = range(min(low + start, high), min(low + start + PAGE_ROWS, high))
        rows = [self._row(symbol, self.bars[symbol][number]) for number in chosen]
        return self._page("history", HISTORY_COLUMNS, rows, start, max(0, high - low))

    def day(self, day: str, start: int) -> Blocks:
        """A page of the bars of all symbols on one day.

        Args:
            day: The day, ISO.
            start: Index of the first row of the page.

        Returns:
            The blocks ``history`` and ``history.cursor``.
        """
        found = self._by_day.get(day, [])
        rows = [self._row(symbol, bar) for symbol, bar in found[start : start + PAGE_ROWS]]
        return self._page("history", HISTORY_COLUMNS, rows, start, len(found))

    def all_splits(self) -> Blocks:
        """Every split."""
        return _block("splits", ("tradedate", "secid", "before", "after"), self.splits)

    def dividends_of(self, symbol: str) -> Blocks:
        """One symbol's dividends."""
        rows = [
            (symbol, None, day, amount, self.currency)
            for day, amount in self.dividends.get(symbol, ())
        ]
        columns = ("secid", "isin", "registryclosedate", "value", "currencyid")
        return _block("dividends", columns, rows)

    def calendar(self, first: str, last: str) -> Blocks:
        """Every day in a range, as far as the exchange's history reaches.

        Args:
            first: First day, ISO.
            last: Last day, ISO, inclusive.

        Returns:
            The block ``off_days``.
        """
        known = sorted(self._by_day)
        rows = []
        if known:
            day = date.fromisoformat(max(first, known[0]))
            end = date.fromisoformat(min(last, known[-1]))
            while day <= end:
                traded = day.isoformat() in self._by_day
                reason = "N" if traded else "W" if day.weekday() >= 5 else "H"
                rows.append((day.isoformat(), int(traded), reason))
                day += timedelta(days=1)
        return _block("off_days", ("tradedate", "is_traded", "reason"), rows)

    def securities(self) -> Blocks:
        """The listed symbols."""
        rows = [
            (symbol, self.board, symbol, symbol, 1, self.currency) for symbol in sorted(self.bars)
        ]
        columns = ("SECID", "BOARDID", "SHORTNAME", "SECNAME", "LOTSIZE", "CURRENCYID")
        return _block("securities", columns, rows)

    def changeover(self) -> Blocks:
        """Ticker changes."""
        return _block("changeover", ("action_date", "old_secid", "new_secid"), self.changes)

    def _row(self, symbol: str, bar: Bar) -> list[Any]:
        value = bar.close * bar.volume if bar.close and bar.volume else None
        return [
            self.board,
            bar.day,
            symbol,
            symbol,
            None,
            value,
            bar.open,
            bar.low,
            bar.high,
            bar.close,
            None,
            bar.close,
            bar.volume,
            3,
            self.currency,
        ]

    @staticmethod
    def _page(
        name: str, columns: Sequence[str], rows: Sequence[Any], start: int, total: int
    ) -> Blocks:
        cursor = _block(
            f"{name}.cursor", ("INDEX", "TOTAL", "PAGESIZE"), [(start, total, PAGE_ROWS)]
        )
        return _block(name, columns, rows) | cursor


def _block(name: str, columns: Sequence[str], rows: Sequence[Any]) -> Blocks:
    return {name: {"columns": list(columns), "data": [list(row) for row in rows]}}
