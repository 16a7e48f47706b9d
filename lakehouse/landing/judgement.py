"""Collects everything that a load is judged by, and records the findings."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl
import pyarrow as pa
from pyiceberg.catalog import Catalog

from lakehouse.errors import TooManyRejects
from lakehouse.findings import (
    DIVIDEND_OUT_OF_PROPORTION,
    DIVIDENDS_DIFFER,
    FAR_FUTURE,
    MISSING_SESSIONS,
    PRICE_RULES,
    TOO_MANY_REJECTS,
    WARNING,
    Finding,
    Scope,
    reconcile,
)
from lakehouse.landing.calendars import Calendars
from lakehouse.landing.examine import examine
from lakehouse.landing.frames import to_frame
from lakehouse.landing.held import closes_between
from lakehouse.landing.holes import Days, missing_sessions
from lakehouse.landing.landing import Landing
from lakehouse.landing.quality import AROUND_SCHEMA, Expectation, Verdict
from lakehouse.sources.reader import Batch, FetchLog, Window

# The last bar before a load lies within this, unless trading was suspended.
AROUND = timedelta(days=40)
ONE_DAY = timedelta(days=1)
# Closes of the lake and of a load count as equal below this relative difference.
SAME_PRICE = 1e-3
# This many of the oldest bars must all differ before a symbol's history is read again.
OLDEST_BARS = 2


def bars_around(catalog: Catalog, source: str, batch: Batch, quotes: pa.Table) -> pa.Table:
    """Closes that the lake has within a batch's dates and shortly before.

    Args:
        catalog: The lake.
        source: Quote source.
        batch: What was requested.
        quotes: The fetched bars; give the symbols of a batch by days.

    Returns:
        Bars of known symbols in the columns of ``AROUND_SCHEMA``.
    """
    if batch.days:
        symbols = set(quotes.column("symbol").drop_null().unique().to_pylist())
        return closes_between(catalog, source, symbols, batch.start - AROUND, batch.end)
    known = [window for window in batch.windows if window.last is not None]
    if not known:
        return AROUND_SCHEMA.empty_table()
    start, end = min(window.start for window in known), max(window.end for window in known)
    names = {window.symbol for window in known}
    tables = [closes_between(catalog, source, names, start - AROUND, end)]
    older = [window for window in known if window.holes]
    if older:
        first, names = min(w.first for w in older), {window.symbol for window in older}
        until = start - AROUND - ONE_DAY
        tables.append(closes_between(catalog, source, names, first - AROUND, until))
    apart = [window for window in known if window.last and window.last > window.end]
    if apart:
        # A request for past dates: the bars that follow show whether a gap is left.
        last, names = max(w.last for w in apart if w.last), {window.symbol for window in apart}
        tables.append(closes_between(catalog, source, names, end + ONE_DAY, last))
    return pa.concat_tables(tables).cast(AROUND_SCHEMA)


@dataclass(frozen=True)
class Judgement:
    """One load, and what it is judged by.

    Attributes:
        batch: What was requested.
        quotes: The bars as fetched.
        dividends: The dividends fetched with them.
        expected: The expectation that the gate applied.
        verdict: The gate's verdict.
    """

    batch: Batch
    quotes: pa.Table
    dividends: pa.Table
    expected: Expectation
    verdict: Verdict

    def record(self, landing: Landing, log: FetchLog, calendars: Calendars) -> None:
        """Store the findings, and quarantine what the source sent that cannot be used.

        Args:
            landing: The load; collects findings and symbols to read again.
            log: Failures, rejects and remarks of the source; drained.
            calendars: Trading days of the symbols.

        Raises:
            CommitConflict: Other writers won every attempt.
        """
        for symbol, reason in self.verdict.refused.items():
            log.fail(symbol, TooManyRejects(reason))
        calendars.meet(log.calendars)
        windows = self._windows(log)
        found = [
            *examine(self.verdict, self.expected, self.dividends, landing.source),
            *self._refused(landing.source),
            *self._missing(landing.source, windows, log, calendars),
            *log.findings,
        ]
        judged = {
            symbol: window
            for symbol, window in windows.items()
            if symbol not in self.verdict.refused
        }
        read = {symbol: Window(symbol, *span) for symbol, span in log.looked_at.items()}
        ahead = {symbol: Window(symbol, date.min, date.max) for symbol in read}
        paying = {symbol: window for symbol, window in judged.items() if symbol in read}
        scopes = [
            Scope(PRICE_RULES, judged),
            Scope(frozenset({TOO_MANY_REJECTS}), windows),
            Scope(frozenset({MISSING_SESSIONS}), judged),
            Scope(frozenset({DIVIDEND_OUT_OF_PROPORTION}), paying),
            Scope(frozenset({DIVIDENDS_DIFFER}), read),
            Scope(frozenset({FAR_FUTURE}), ahead),
        ]
        landing.findings += reconcile(
            landing.catalog, landing.source, found, scopes, landing.load_id
        )
        landing.record(log.rejects)
        landing.rescaled |= self._rescaled(windows)
        log.drain()

    def _windows(self, log: FetchLog) -> dict[str, Window]:
        """The dates that were read, by symbol."""
        if not self.batch.days:
            return {
                w.symbol: w
                for w in self.batch.windows
                if w.symbol not in log.failed or w.symbol in self.verdict.refused
            }
        known = set(self.expected.around.column("symbol").to_pylist())
        first, last = self.batch.start, self.batch.end
        symbols = self.quotes.column("symbol").drop_null().unique().to_pylist()
        return {
            symbol: Window(symbol, first, last, first if symbol in known else None)
            for symbol in symbols
        }

    def _refused(self, source: str) -> Iterator[Finding]:
        starts = {window.symbol: window.start for window in self.batch.windows}
        for symbol, reason in self.verdict.refused.items():
            day = starts.get(symbol, self.batch.start)
            yield Finding(source, symbol, TOO_MANY_REJECTS, day, self.batch.end, WARNING, reason)

    def _missing(
        self, source: str, windows: Mapping[str, Window], log: FetchLog, calendars: Calendars
    ) -> Iterator[Finding]:
        """Sessions without a bar within the dates that were read."""
        loaded = _days_by_symbol(self.quotes)
        here = _days_by_symbol(self.expected.around)
        # Thousands of symbols share a calendar of thousands of days.
        known_days: dict[int, Days] = {}
        for symbol, window in windows.items():
            if symbol in self.verdict.refused:
                continue
            fresh = loaded.get(symbol, _none())
            known = here.get(symbol, _none())
            sessions = calendars.sessions(symbol)
            first, last = _range(window, fresh, known)
            if not sessions or (first is None and not window.holes):
                continue
            if id(sessions) not in known_days:
                known_days[id(sessions)] = np.array(sessions, "datetime64[D]")
            expected = known_days[id(sessions)]
            wanted = np.isin(expected, np.array(sorted(window.holes), "datetime64[D]"))
            if first is not None and last is not None:
                wanted |= (expected >= np.datetime64(first)) & (expected <= np.datetime64(last))
            rested = np.array(sorted(log.idle.get(symbol, ())), "datetime64[D]")
            present = np.concatenate([fresh, known, rested])
            yield from missing_sessions(source, symbol, sessions, expected[wanted], present)

    def _rescaled(self, windows: Mapping[str, Window]) -> set[str]:
        """Symbols whose oldest loaded bars differ from the lake's; older ones will differ too."""
        around = to_frame(self.expected.around)
        if not around.height:
            return set()
        starts = {s: w.start for s, w in windows.items() if w.last is not None}
        fresh = to_frame(self.verdict.accepted.select(["symbol", "trade_date", "close"]))
        change = (pl.col("close") / pl.col("close_right") - 1).abs() > SAME_PRICE
        oldest = (
            fresh.join(around, on=["symbol", "trade_date"])
            .filter(
                pl.col("trade_date")
                >= pl.col("symbol").replace_strict(starts, default=None, return_dtype=pl.Date)
            )
            .sort("symbol", "trade_date")
            .group_by("symbol", maintain_order=True)
            .head(OLDEST_BARS)
        )
        changed = oldest.group_by("symbol").agg(change.all().alias("changed"))
        return set(changed.filter("changed")["symbol"])


def _range(window: Window, fresh: Days, known: Days) -> tuple[date | None, date | None]:
    """The dates between which a symbol should have a bar for each session."""
    if not len(fresh):
        return None, None
    first, last = fresh.min().astype(object), fresh.max().astype(object)
    if window.last is not None:
        first = min(window.start, first)
        if window.last < window.start:
            first = window.last + ONE_DAY
    later = known[known > np.datetime64(window.end)]
    if len(later):
        last = later.min().astype(object) - ONE_DAY
    # Bars outside the requested dates are rejected by the gate.
    return max(first, window.first if window.last is None else first), last


def _days_by_symbol(rows: pa.Table) -> dict[str, Days]:
    frame = to_frame(rows.select(["symbol", "trade_date"])).drop_nulls().sort("symbol")
    counts = frame.group_by("symbol", maintain_order=True).len()
    # Cut once: a frame of its own for each of thousands of symbols would cost ten times as much.
    days = frame["trade_date"].to_numpy().astype("datetime64[D]")
    parts = np.split(days, np.cumsum(counts["len"].to_numpy())[:-1])
    return dict(zip(counts["symbol"].to_list(), parts, strict=True)) if counts.height else {}


def _none() -> Days:
    return np.array([], "datetime64[D]")
