"""A small random market in the lake, and ways to change it."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import count

import numpy as np
import pyarrow as pa

from catalog.merge import merge
from catalog.tables import CALENDAR, DIVIDENDS, QUOTES, SPLITS, SYMBOL_CALENDARS
from lakehouse import findings
from lakehouse.platform import Platform

numbers = count()


@dataclass
class Market:
    """Bars of a source of its own, made by a seeded generator and merged into the lake."""

    platform: Platform
    source: str
    seed: int
    price: dict[str, float] = field(default_factory=dict)
    day: date = date(2020, 1, 1)

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)
        self.catalog = self.platform.lake
        self.dates: list[date] = []
        self.unreported: list[tuple[str, date, float]] = []

    def trade(self, symbols: list[str], days: int) -> None:
        """Append days; now and then a symbol has no bar, or one without trade."""
        rows = []
        for _ in range(days):
            self.day += timedelta(days=3 if self.day.weekday() == 4 else 1)
            self.dates.append(self.day)
            if self.random.random() < 0.03:
                self._divide(str(self.random.choice(symbols)))
            for symbol in symbols:
                luck = self.random.random()
                if luck > 0.02:
                    rows.append(self.bar(symbol, self.day, traded=luck > 0.04))
        self.write(rows)

    def _divide(self, symbol: str) -> None:
        """Split a symbol's shares; the price shows it now, the report may come late."""
        after = float(self.random.choice([2.0, 3.0, 0.25]))
        self.price[symbol] = self.price.get(symbol, 100.0) / after
        self.unreported.append((symbol, self.day, after))

    def report_split(self) -> None:
        """Report one of the splits that happened."""
        if self.unreported:
            index = int(self.random.integers(len(self.unreported)))
            symbol, day, after = self.unreported.pop(index)
            self.split(symbol, day, after=after)

    def correct(self, symbol: str, day: date) -> None:
        """Land a bar again with a slightly different close, as exchanges do."""
        bars = self.catalog.load_table(QUOTES.name).scan(
            f"source = '{self.source}' and symbol = '{symbol}' and trade_date = '{day}'"
        )
        for row in bars.to_arrow().to_pylist():
            if row["close"]:
                row["close"] = round((row["low"] + row["high"]) / 2, 2)
                self.write([{name: row[name] for name in row if name != "ingested_at"}])

    def bar(self, symbol: str, day: date, *, traded: bool = True) -> dict[str, object]:
        """A bar that follows from the symbol's last price."""
        price = self.price.get(symbol, 100.0) * float(np.exp(self.random.normal(0, 0.02)))
        self.price[symbol] = price
        open_, close = (round(price * f, 2) for f in self.random.uniform(0.99, 1.01, 2))
        bar = {
            "open": open_,
            "high": round(max(open_, close) * 1.01, 2),
            "low": round(min(open_, close) * 0.99, 2),
            "close": close,
            "volume": int(self.random.integers(0, 10_000)),
        }
        if not traded:
            bar = dict.fromkeys(bar)
        return {"source": self.source, "symbol": symbol, "trade_date": day, **bar}

    def write(self, rows: list[dict[str, object]]) -> None:
        """Merge bars into raw.quotes."""
        stamped = [row | {"ingested_at": datetime.now(UTC), "currency": "USD"} for row in rows]
        merge(self.catalog, QUOTES, pa.Table.from_pylist(stamped), commit_id=f"t{next(numbers)}")

    def split(self, symbol: str, day: date, *, after: float = 2.0) -> None:
        """Report a split."""
        row = {"source": self.source, "symbol": symbol, "ex_date": day}
        rows = pa.Table.from_pylist([row | {"ratio_before": 1.0, "ratio_after": after}])
        merge(self.catalog, SPLITS, rows, commit_id=f"t{next(numbers)}")

    def dividend(self, symbol: str, day: date, amount: float) -> None:
        """Report a dividend."""
        row = {"source": self.source, "symbol": symbol, "record_date": day, "amount": amount}
        merge(self.catalog, DIVIDENDS, pa.Table.from_pylist([row]), commit_id=f"t{next(numbers)}")

    def find(self, symbol: str, day: date, *, state: str = findings.OPEN) -> None:
        """Find something severe about a symbol from a day on, or decide about it."""
        finding = findings.Finding(
            self.source, symbol, findings.JUMP, day, day, findings.SEVERE, "seen", state=state
        )
        findings.write(self.catalog, [finding], f"t{next(numbers)}")

    def keep_calendar(self, symbol: str, name: str, open_days: dict[date, bool]) -> None:
        """Have a symbol keep the calendar of another exchange."""
        row = {"source": self.source, "symbol": symbol, "calendar": name}
        names = pa.Table.from_pylist([row])
        merge(self.catalog, SYMBOL_CALENDARS, names, commit_id=f"t{next(numbers)}")
        self.calendar(name, open_days)

    def calendar(self, name: str, open_days: dict[date, bool]) -> None:
        """Land days of a calendar: the source's, when it has its name."""
        rows = [
            {"source": name, "trade_date": day, "is_open": is_open}
            for day, is_open in open_days.items()
        ]
        merge(self.catalog, CALENDAR, pa.Table.from_pylist(rows), commit_id=f"t{next(numbers)}")
