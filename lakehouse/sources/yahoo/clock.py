"""Trading dates from Yahoo's time stamps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from lakehouse.sources.exchanges import session_end

# A bar is stamped at its session's opening, or at local midnight. Where the clock was set an hour
# or two off, midnight arrives as 22:00 or 23:00 of the day before; no session opens then.
LATE_HOURS = frozenset({22, 23})


@dataclass(frozen=True)
class Clock:
    """The exchange's local time.

    Attributes:
        zone: Its time zone, with daylight saving time.
    """

    zone: tzinfo

    def day(self, stamp: Any) -> date:
        """The trading date of a stamp in seconds since 1970.

        Raises:
            TypeError: It is no number.
            ValueError: It is none of the calendar's dates.
        """
        if isinstance(stamp, bool) or not isinstance(stamp, int | float):
            raise TypeError(f"{stamp!r} is not a time stamp")
        try:
            moment = datetime.fromtimestamp(stamp, UTC).astimezone(self.zone)
        except (OverflowError, OSError) as error:
            raise ValueError(f"{stamp!r} is not in seconds") from error
        if moment.hour in LATE_HOURS and moment.minute == moment.second == 0:
            moment += timedelta(hours=24 - moment.hour)
        return moment.date()

    def day_or_none(self, stamp: Any) -> date | None:
        """The trading date of a stamp; None when it has none."""
        try:
            return self.day(stamp)
        except (TypeError, ValueError):
            return None


def clock_of(meta: Mapping[str, Any]) -> Clock:
    """The clock of an answer: its zone by name, or its offset where that says nothing."""
    try:
        return Clock(ZoneInfo(meta["exchangeTimezoneName"]))
    except (KeyError, ValueError, TypeError, OSError):
        offset = meta.get("gmtoffset")
        seconds = offset if isinstance(offset, int) and abs(offset) < 86_400 else 0
        return Clock(timezone(timedelta(seconds=seconds)))


def open_session(
    meta: Mapping[str, Any],
    days: Sequence[date | None],
    clock: Clock,
    calendar: str,
    now: datetime,
) -> date | None:
    """The day whose session has not ended, so that its bar still changes; None when all have.

    Args:
        meta: The answer's own words about it, if any.
        days: Trading dates of the bars.
        clock: The exchange's time.
        calendar: Its calendar, for an answer that says nothing.
        now: Current time.
    """
    period = meta.get("currentTradingPeriod")
    regular = period.get("regular") if isinstance(period, Mapping) else None
    if isinstance(regular, Mapping) and "start" in regular and "end" in regular:
        return clock.day(regular["start"]) if now.timestamp() < regular["end"] else None
    last = max((day for day in days if day is not None), default=None)
    # Whatever the exchange, yesterday's session has ended a day later.
    if last is None or last < now.date() - timedelta(days=1):
        return None
    return last if now < session_end(calendar, last, clock.zone) else None


def without_live_twin(days: Sequence[date | None], closes: Sequence[Any]) -> set[int]:
    """Rows to leave out because the last day comes twice: as a bar, and live beside it.

    The later row holds, unless it has no close.
    """
    known = [day for day in days if day is not None]
    if not known:
        return set()
    last = max(known)
    rows = [row for row, day in enumerate(days) if day == last]
    kept = next((row for row in reversed(rows) if closes[row] is not None), rows[-1])
    return set(rows) - {kept}
