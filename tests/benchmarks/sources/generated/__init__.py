"""A generated exchange: random walks of as many symbols and days as a benchmark asks for.

It is read like any whole board, day by day, so what follows (dlt, quality gate, merge) is what a
real exchange goes through; only the network is left out. The same numbers come at every start.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from lakehouse.settings import Settings
from lakehouse.sources.reader import CALENDAR_SCHEMA, QUOTES_SCHEMA, Batch, FetchLog

if TYPE_CHECKING:
    from dlt.extract import DltSource

FIRST = date(2014, 1, 1)
SYMBOLS, DAYS = "GENERATED_SYMBOLS", "GENERATED_DAYS"
MOST_DAYS = 3000


class GeneratedReader:
    """An exchange that has been open for a number of working days."""

    name = "generated"
    board = "GENERATED"
    board_by_default = True
    calendar = "XNYS"
    requests = 0

    def __init__(self, symbols: int, days: int) -> None:
        self._names = [f"S{number:05}" for number in range(symbols)]
        weekdays = (FIRST + timedelta(n) for n in range(2 * MOST_DAYS))
        self._days = [day for day in weekdays if day.weekday() < 5][:days]

    def symbols(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(self._names)

    def sessions(self, start: date, end: date) -> tuple[date, ...]:
        """The days so far."""
        return tuple(day for day in self._days if start <= day <= end)

    def resources(self, batch: Batch, log: FetchLog) -> "DltSource":
        """The bars of the batch's days, and the calendar."""
        import dlt

        @dlt.resource(name="quotes")
        def quotes() -> Iterator[pa.Table]:
            for day in batch.days:
                yield self._bars(day)
                log.done(str(day), len(self._names))

        @dlt.resource(name="calendar")
        def calendar() -> Iterator[pa.Table]:
            if batch.calendar_end:
                yield self._calendar()

        @dlt.source(name=self.name)
        def source() -> object:
            return quotes, calendar

        made: DltSource = source()
        return made

    @cached_property
    def _closes(self) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        """A market that is calm and wild by turns, and symbols that follow it more or less."""
        random = np.random.default_rng(20240229)
        shape = (MOST_DAYS, len(self._names))
        calm = np.zeros(MOST_DAYS)
        for day in range(1, MOST_DAYS):
            calm[day] = 0.98 * calm[day - 1] + 0.1 * random.standard_normal()
        market = 0.008 * np.exp(calm) * random.standard_normal(MOST_DAYS)
        own = random.standard_normal(shape, dtype=np.float32)
        own *= np.exp(calm, dtype=np.float32)[:, None]
        own *= random.uniform(0.008, 0.02, len(self._names)).astype(np.float32)
        pull = random.uniform(0.5, 1.5, len(self._names)).astype(np.float32)
        own += np.outer(market.astype(np.float32), pull)
        closes = np.exp(np.cumsum(own.clip(-0.3, 0.3, out=own), axis=0, out=own), out=own)
        closes *= 100
        return closes

    def _bars(self, day: date) -> pa.Table:
        number = self._days.index(day)
        random = np.random.default_rng(number)
        close = self._closes[number].astype(float).round(4).clip(0.01)
        count = len(self._names)
        spread = np.abs(random.normal(0, 0.006, count))
        volume = random.integers(1_000, 10**6, count)
        columns = {
            "source": pa.repeat(pa.scalar(self.name), count),
            "symbol": pa.array(self._names),
            "trade_date": pa.repeat(pa.scalar(day), count),
            "open": close * (1 + spread * random.uniform(-1, 1, count)),
            "high": close * (1 + spread),
            "low": close * (1 - spread),
            "close": close,
            "volume": volume,
            "value": close * volume,
            "currency": pa.repeat(pa.scalar("USD"), count),
            "board": pa.repeat(pa.scalar(self.board), count),
            "malformed": pa.nulls(count, pa.string()),
        }
        return pa.table(columns).cast(QUOTES_SCHEMA)

    def _calendar(self) -> pa.Table:
        count = len(self._days)
        columns = [
            pa.repeat(pa.scalar(self.name), count),
            pa.array(self._days),
            pa.repeat(pa.scalar(True), count),
            pa.nulls(count, pa.string()),
        ]
        return pa.table(columns, schema=CALENDAR_SCHEMA)


@contextmanager
def open_source(settings: Settings) -> Iterator[GeneratedReader]:
    """Open it as large and as old as the environment says."""
    yield GeneratedReader(int(os.environ[SYMBOLS]), int(os.environ[DAYS]))
