"""Finds anomalies in a load's prices and actions, one symbol at a time.

Each symbol is judged by its own bars: those of the load and those around them in the lake.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from statistics import median

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from lakehouse.findings import (
    DIVIDEND_OUT_OF_PROPORTION,
    JUMP,
    LEVEL_SWITCH,
    SEVERE,
    SPLIT_CONTRADICTED,
    UNLISTED_SPLIT,
    WARNING,
    Finding,
)
from lakehouse.landing.frames import to_frame
from lakehouse.landing.quality import Expectation, Verdict

# Factors of a wrong unit: pence for pounds, cents for dollars, a misplaced decimal point.
UNITS = (10.0, 100.0, 1000.0)
UNIT_TOLERANCE = 0.12
RATIOS = (2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 16, 20, 25, 30, 40, 50, 1.5, 2.5)
# Largest distance between the overnight move and the ratio of a split, as a log return.
SPLIT_TOLERANCE = 0.03
# Bars on each side that distinguish a new price level from a single outlier.
LEVEL_BARS = 5
# Maximum number of bars between a listed split and the move that looks like it.
NEARBY_BARS = 5
# Smaller splits, as a log return, cannot be distinguished from the day's own return.
LEAST_SPLIT = 0.1
LARGEST_YIELD = 0.25


@dataclass(frozen=True)
class Series:
    """One symbol's bars in date order.

    Attributes:
        days: Trading dates.
        opens: Opens of the load's bars, shape (n,); NaN where there is none.
        closes: Closes, shape (n,).
        loaded: Whether each bar came with the load.
    """

    days: list[date]
    opens: "np.ndarray[tuple[int], np.dtype[np.float64]]"
    closes: "np.ndarray[tuple[int], np.dtype[np.float64]]"
    loaded: list[bool]

    def move(self, at: int) -> float:
        """Log return from the previous close to a bar's close."""
        return math.log(self.closes[at] / self.closes[at - 1])

    def gap(self, at: int) -> float:
        """Log return from the previous close to a bar's open, or to its close if it has no open."""
        opened = self.opens[at] if self.opens[at] > 0 else self.closes[at]
        return math.log(opened / self.closes[at - 1])

    def stays(self, at: int, move: float) -> bool:
        """Whether prices stay at the new level after a move, by up to five bars on each side.

        Args:
            at: Index of the first bar after the move; at least 1.
            move: Size of the move as a log return.

        Returns:
            Whether the medians before and after differ by the move, within half of its size.
        """
        before = median(self.closes[max(0, at - LEVEL_BARS) : at].tolist())
        after = median(self.closes[at : at + LEVEL_BARS].tolist())
        return abs(math.log(after / before) - move) < 0.5 * abs(move)


@dataclass(frozen=True)
class _Split:
    day: date
    before: float
    after: float

    @property
    def size(self) -> float:
        return math.log(self.after / self.before)


def examine(
    verdict: Verdict, expected: Expectation, dividends: pa.Table, source: str
) -> Iterator[Finding]:
    """Findings about the accepted bars of a load, their splits and dividends.

    Args:
        verdict: The quality gate's verdict on the load.
        expected: The expectation that the gate applied.
        dividends: Dividends that came with the load.
        source: Quote source.

    Yields:
        Findings, not yet in the table.
    """
    splits = _splits(expected.splits)
    jumping = set(verdict.flagged.filter(_is_jump(verdict.flagged)).column("symbol").to_pylist())
    paying = set(dividends.column("symbol").to_pylist())
    for symbol, series in _series(verdict, expected, jumping | splits.keys() | paying):
        if symbol in jumping or symbol in splits:
            yield from _about_prices(
                series, splits.get(symbol, []), expected.jump_limit, source, symbol
            )
        if symbol in paying:
            yield from _about_dividends(series, dividends, source, symbol)


def _is_jump(flagged: pa.Table) -> pa.ChunkedArray:
    return pc.equal(flagged.column("rule"), JUMP)


def _splits(rows: pa.Table) -> dict[str, list[_Split]]:
    found: dict[str, list[_Split]] = {}
    for row in rows.to_pylist():
        if row["ratio_before"] and row["ratio_after"] and row["ratio_before"] != row["ratio_after"]:
            split = _Split(row["ex_date"], row["ratio_before"], row["ratio_after"])
            found.setdefault(row["symbol"], []).append(split)
    return found


def _series(
    verdict: Verdict, expected: Expectation, symbols: set[str]
) -> Iterator[tuple[str, Series]]:
    """The bars of some symbols, including those around them in the lake."""
    if not symbols:
        return
    wanted = pl.col("symbol").is_in(sorted(symbols))
    names = ["symbol", "trade_date", "open", "close"]
    fresh = to_frame(verdict.accepted.select(names)).filter(wanted)
    here = (
        to_frame(expected.around)
        .filter(wanted)
        .join(fresh, on=["symbol", "trade_date"], how="anti")
        .with_columns(open=pl.lit(None, pl.Float64), loaded=pl.lit(False))
    )
    both = pl.concat([fresh.with_columns(loaded=pl.lit(True)), here.select(*names, "loaded")]).sort(
        "symbol", "trade_date"
    )
    for (symbol,), bars in both.group_by("symbol", maintain_order=True):
        yield (
            str(symbol),
            Series(
                bars["trade_date"].to_list(),
                bars["open"].fill_null(math.nan).to_numpy(),
                bars["close"].to_numpy(),
                bars["loaded"].to_list(),
            ),
        )


def _about_prices(
    series: Series, splits: Sequence[_Split], limit: float, source: str, symbol: str
) -> Iterator[Finding]:
    """Splits that the prices contradict, and moves that no split explains."""
    by_bar: dict[int, list[_Split]] = {}
    for split in splits:
        at = int(np.searchsorted(np.array(series.days, "datetime64[D]"), np.datetime64(split.day)))
        if 0 < at < len(series.days) and series.loaded[at]:
            by_bar.setdefault(at, []).append(split)
    moves = np.abs(np.diff(np.log(series.closes)))
    suspects = {int(at) + 1 for at in np.flatnonzero(moves > limit)} | by_bar.keys()
    unlisted = [
        at
        for at in sorted(suspects)
        if series.loaded[at] and at not in by_bar and _like_split(series, at)
    ]
    for at in sorted(suspects):
        if not series.loaded[at]:
            continue
        size = sum(split.size for split in by_bar.get(at, ()))
        if at in by_bar and _contradicts(series.move(at), size):
            yield _contradicted(series, at, by_bar[at], unlisted, source, symbol)
        elif abs(series.move(at) + size) > limit:
            yield _moved(series, at, size, source, symbol)


def _contradicts(move: float, size: float) -> bool:
    """Whether the split makes the move larger, although it should explain it."""
    return abs(size) > LEAST_SPLIT and abs(move + size) > abs(move)


def _contradicted(
    series: Series,
    at: int,
    splits: Sequence[_Split],
    unlisted: Sequence[int],
    source: str,
    symbol: str,
) -> Finding:
    split = splits[0]
    day = series.days[at]
    seen = (
        f"a split {split.before:g}:{split.after:g} is listed, but the close moved by "
        f"{math.expm1(series.move(at)):+.1%}"
    )
    proposal = f"{source},{symbol},{split.day},1,1,the prices contradict it"
    near = [other for other in unlisted if abs(other - at) <= NEARBY_BARS]
    if near and math.isclose(series.gap(near[0]), -split.size, abs_tol=0.1):
        moved, listed = series.days[near[0]], f"{split.before:g},{split.after:g}"
        seen += f", and moved as if split on {moved}"
        proposal += f"\n{source},{symbol},{moved},{listed},seen in the prices"
    return Finding(source, symbol, SPLIT_CONTRADICTED, day, day, SEVERE, seen, proposal)


def _moved(series: Series, at: int, size: float, source: str, symbol: str) -> Finding:
    """A move that no split explains: a change of unit, an unlisted split, or a jump."""
    day, move = series.days[at], series.move(at)
    factor = math.exp(abs(move))
    seen = (
        f"the close moved by {math.expm1(move):+.1%}, from {series.closes[at - 1]:g} to "
        f"{series.closes[at]:g}, and no split explains it"
    )
    ratio = None if size else _like_split(series, at)
    if ratio and series.stays(at, move):
        before, after = (1.0, ratio) if move < 0 else (ratio, 1.0)
        while before % 1 or after % 1:
            before, after = before * 2, after * 2
        listed = f"{before:g}:{after:g}"
        proposal = f"{source},{symbol},{day},{before:g},{after:g},seen in the prices"
        seen += f"; it looks like a split {listed} that is not listed"
        return Finding(source, symbol, UNLISTED_SPLIT, day, day, SEVERE, seen, proposal)
    unit = next((unit for unit in UNITS if abs(math.log(factor / unit)) < UNIT_TOLERANCE), None)
    if unit:
        seen += f"; it looks like another unit, by a factor of {unit:g}"
        return Finding(source, symbol, LEVEL_SWITCH, day, day, SEVERE, seen)
    return Finding(source, symbol, JUMP, day, day, WARNING, seen)


def _like_split(series: Series, at: int) -> float | None:
    """The ratio of the split that a bar's open suggests, if its close confirms it."""
    gap, move = series.gap(at), series.move(at)
    if abs(move - gap) > 0.1:
        return None
    near = [ratio for ratio in RATIOS if abs(abs(gap) - math.log(ratio)) < SPLIT_TOLERANCE]
    return min(near, key=lambda ratio: abs(abs(gap) - math.log(ratio))) if near else None


def _about_dividends(
    series: Series, dividends: pa.Table, source: str, symbol: str
) -> Iterator[Finding]:
    """Dividends that are implausibly large relative to the price."""
    days = np.array(series.days, "datetime64[D]")
    for row in dividends.filter(pc.equal(dividends.column("symbol"), symbol)).to_pylist():
        day, amount = row["record_date"], row["amount"]
        at = int(np.searchsorted(days, np.datetime64(day)))
        if not 0 < at < len(days) or not amount:
            continue
        price = float(series.closes[at - 1])
        if amount > LARGEST_YIELD * price:
            seen = f"a dividend of {amount:g} is {amount / price:.0%} of the price {price:g}"
            yield Finding(source, symbol, DIVIDEND_OUT_OF_PROPORTION, day, day, WARNING, seen)
