"""Splits and dividends of Yahoo's chart API, checked against its own prices.

Yahoo divides prices by the ratios of all later splits. It lists a split some sessions before it
does so, and lists some that it never applies; the prices around the ex-date show which. Dividends
can be compared with Yahoo's own adjusted close.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

from lakehouse.findings import (
    DIVIDEND_OUT_OF_PROPORTION,
    FAR_FUTURE,
    NOTE,
    SPLIT_NOT_APPLIED,
    WARNING,
    Finding,
    differing_dividends,
)
from lakehouse.sources.reader import Window
from lakehouse.sources.yahoo.clock import Clock

SOURCE = "yahoo"
# Yahoo's numbers are single precision: 109.29 arrives as 109.29000091552734.
SIGNIFICANT_DIGITS = 7
# An action announced further ahead than this is a typo.
FAR = timedelta(days=2 * 366)
# Splits smaller than 6:5, as a log return, cannot be distinguished from the day's own return.
LEAST_VISIBLE_SPLIT = 0.18
# A dividend may differ from the one that the adjusted close implies by this factor or this yield.
DIVIDEND_TOLERANCE = 3.0
LEAST_VISIBLE_YIELD = 0.005

Note = Callable[[date | None, str, Any], None]


@dataclass(frozen=True)
class Split:
    """``before`` old shares became ``after`` new ones.

    Attributes:
        day: The ex-date.
        before: Old shares.
        after: New shares.
        applied: Whether Yahoo's prices of earlier days are divided by the ratio.
    """

    day: date
    before: float
    after: float
    applied: bool = True

    @property
    def ratio(self) -> float:
        """New shares per old share."""
        return self.after / self.before


@dataclass(frozen=True)
class Payment:
    """A dividend, per share of its ex-date."""

    day: date
    amount: float


def as_traded(price: float, day: date, splits: Sequence[Split]) -> float:
    """Undo Yahoo's split adjustment of a price.

    Args:
        price: Yahoo's split-adjusted price, or a dividend.
        day: The trading date.
        splits: All splits up to today.

    Returns:
        The price as traded, rounded to seven significant digits.
    """
    return float(f"{price * _later(day, splits):.{SIGNIFICANT_DIGITS}g}")


def as_traded_volume(volume: float, day: date, splits: Sequence[Split]) -> int:
    """Undo Yahoo's split adjustment of a volume.

    Args:
        volume: Yahoo's split-adjusted number of shares.
        day: The trading date.
        splits: All splits up to today.

    Returns:
        The number of shares traded.
    """
    return round(volume / _later(day, splits))


def _later(day: date, splits: Sequence[Split]) -> float:
    """The number of today's shares, as Yahoo counts them, per share of that day."""
    return math.prod(split.ratio for split in splits if split.applied and split.day > day)


def read_splits(
    events: Any, clock: Clock, last: date, reject: Note, find: Callable[[Finding], None]
) -> list[Split]:
    """Parse the splits of a response; unusable events are rejected.

    Args:
        events: The block ``events.splits``.
        clock: The exchange's time.
        last: The current date.
        reject: Called with date, reason and event for each unusable event.
        find: Called with a finding about an event; the caller fills in its symbol.

    Returns:
        Splits in date order; dates with contradicting splits are omitted.
    """
    splits: dict[date, set[Split]] = {}
    for event in _events(events, reject):
        day = None
        try:
            day = clock.day(event["date"])
            split = Split(day, float(event["denominator"]), float(event["numerator"]))
            if not all(math.isfinite(part) and part > 0 for part in (split.before, split.after)):
                raise ValueError("the ratio is not positive")
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            reject(day, f"a split that cannot be used ({error})", event)
            continue
        if day > last + FAR:
            reject(day, "a split in a far future", event)
            find(_far(day, "split"))
            continue
        splits.setdefault(day, set()).add(split)
    for day, same in splits.items():
        if len(same) > 1:
            reject(
                day, "different splits on one date", [str(split) for split in sorted(same, key=str)]
            )
    return [split for _, same in sorted(splits.items()) if len(same) == 1 for split in same]


def see_what_is_applied(
    splits: Sequence[Split], days: Sequence[date | None], closes: Sequence[Any]
) -> list[Split]:
    """Mark the splits for which Yahoo has not adjusted its prices yet.

    If the price falls by the split's own ratio at the ex-date, earlier prices were not adjusted.

    Args:
        splits: Splits in date order.
        days: Trading dates of the bars; None for unreadable ones.
        closes: Yahoo's closes, aligned with ``days``; of any type.

    Returns:
        The same splits, with ``applied`` set.
    """
    bars = sorted(
        (day, close)
        for day, close in zip(days, closes, strict=True)
        if day is not None and _is_price(close)
    )
    return [replace(split, applied=_is_applied(split, bars)) for split in splits]


def _is_applied(split: Split, bars: Sequence[tuple[date, float]]) -> bool:
    before = [close for day, close in bars if day < split.day]
    after = [close for day, close in bars if day >= split.day]
    size = math.log(split.ratio)
    if not before or not after or abs(size) < LEAST_VISIBLE_SPLIT:
        return True
    move = math.log(after[0] / before[-1])
    return abs(move + size) > 0.3 * abs(size)


def about_splits(splits: Sequence[Split], last: date) -> Iterator[Finding]:
    """Findings about splits that are listed but not applied.

    Args:
        splits: Splits with ``applied`` set.
        last: The current date; later splits cannot be applied yet.

    Yields:
        Notes without a symbol.
    """
    for split in splits:
        if not split.applied and split.day <= last:
            seen = (
                f"the split {split.before:g}:{split.after:g} is listed, but earlier prices are "
                "not adjusted for it yet; they were taken as they are"
            )
            yield Finding(SOURCE, "", SPLIT_NOT_APPLIED, split.day, split.day, NOTE, seen)


def read_dividends(
    events: Any,
    clock: Clock,
    window: Window,
    splits: Sequence[Split],
    last: date,
    reject: Note,
    find: Callable[[Finding], None],
) -> list[Payment]:
    """Parse the dividends of a window, one per date; unusable events are rejected.

    Args:
        events: The block ``events.dividends``.
        clock: The exchange's time.
        window: Dates to keep.
        splits: Splits with ``applied`` set; undo the adjustment of amounts.
        last: The current date.
        reject: Called with date, reason and event for each unusable event.
        find: Called with a finding about an event; the caller fills in its symbol.

    Returns:
        Payments per share of the ex-date, in date order.
    """
    amounts: dict[date, list[float]] = {}
    for event in _events(events, reject):
        day = None
        try:
            day = clock.day(event["date"])
            amount = float(event["amount"])
            if not math.isfinite(amount) or amount < 0:
                raise ValueError(f"the amount {amount} is not positive")
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            reject(day, f"a dividend that cannot be used ({error})", event)
            continue
        if day > last + FAR:
            reject(day, "a dividend in a far future", event)
            find(_far(day, "dividend"))
        elif window.holds(day) and amount:
            amounts.setdefault(day, []).append(as_traded(amount, day, splits))
    for day, several in amounts.items():
        if len(set(several)) > 1:
            find(differing_dividends(SOURCE, "", day, several))
    return [Payment(day, several[-1]) for day, several in sorted(amounts.items())]


def against_adjusted_close(
    payments: Sequence[Payment],
    splits: Sequence[Split],
    days: Sequence[date | None],
    closes: Sequence[Any],
    adjusted: Sequence[Any],
) -> Iterator[Finding]:
    """Findings about dividends that contradict Yahoo's own adjusted close.

    Args:
        payments: Dividends per share of the ex-date.
        splits: Splits with ``applied`` set.
        days: Trading dates of the bars; None for unreadable ones.
        closes: Yahoo's closes, aligned with ``days``.
        adjusted: Yahoo's adjusted closes, aligned with ``days``.

    Yields:
        Warnings without a symbol; none if the adjusted close contains no adjustment.
    """
    bars = sorted(
        (day, close, other)
        for day, close, other in zip(days, closes, adjusted, strict=True)
        if day is not None and _is_price(close) and _is_price(other)
    )
    if all(math.isclose(close, other, rel_tol=1e-6) for _, close, other in bars):
        return
    for payment in payments:
        earlier = [bar for bar in bars if bar[0] < payment.day]
        later = [bar for bar in bars if bar[0] >= payment.day]
        if not earlier or not later:
            continue
        _, close_before, adjusted_before = earlier[-1]
        _, close_after, adjusted_after = later[0]
        # Per share of the ex-date, like the dividend: both are after a split on that day.
        price = as_traded(close_before, payment.day, splits)
        paid = payment.amount / price
        implied = 1 - adjusted_before / close_before * close_after / adjusted_after
        near = implied / DIVIDEND_TOLERANCE <= paid <= implied * DIVIDEND_TOLERANCE
        if not near and abs(paid - implied) > LEAST_VISIBLE_YIELD:
            seen = (
                f"a dividend of {payment.amount:g} is {paid:.1%} of the price {price:g}, while "
                f"the source's own adjusted close says {max(implied, 0.0):.1%}"
            )
            yield Finding(
                SOURCE, "", DIVIDEND_OUT_OF_PROPORTION, payment.day, payment.day, WARNING, seen
            )


def _far(day: date, what: str) -> Finding:
    seen = f"a {what} dated {day}, far in the future; it was rejected"
    return Finding(SOURCE, "", FAR_FUTURE, day, day, NOTE, seen)


def _events(block: Any, reject: Note) -> Iterator[Mapping[str, Any]]:
    listed = block.values() if isinstance(block, Mapping) else block or ()
    for event in listed:
        if isinstance(event, Mapping):
            yield event
        else:
            reject(None, "an event that is none", event)


def _is_price(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 < value < math.inf
