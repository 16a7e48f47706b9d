"""Trading dates from Yahoo's timestamps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from lakehouse.sources.exchanges import session_end

# A bar is stamped at its session's open, or at local midnight. If Yahoo's zone is off by an hour or
# two, midnight appears as 22:00 or 23:00 of the previous day, when no session opens.
LATE_HOURS = frozenset({22, 23})


@dataclass(frozen=True)
class Clock:
    """The exchange's local time.

    Attributes:
        zone: Its time zone, with daylight saving time.
    """

    zone: tzinfo

    def day(self, stamp: Any) -> date:
        """The trading date of a timestamp in seconds since 1970.

        Raises:
            TypeError: It is not a number.
            ValueError: It is out of range.
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
        """The trading date of a timestamp; None if it has none."""
        try:
            return self.day(stamp)
        except (TypeError, ValueError):
            return None


def clock_of(meta: Mapping[str, Any]) -> Clock:
    """The clock of a response: its named zone, else its UTC offset."""
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
    """The day whose session has not ended, so that its bar can still change; None if all have.

    Args:
        meta: The response's metadata, which may contain the trading hours.
        days: Trading dates of the bars.
        clock: The exchange's time.
        calendar: Its calendar, if the metadata has no trading hours.
        now: Current time.

    Returns:
        A trading date, or None.
    """
    period = meta.get("currentTradingPeriod")
    regular = period.get("regular") if isinstance(period, Mapping) else None
    if isinstance(regular, Mapping) and "start" in regular and "end" in regular:
        return clock.day(regular["start"]) if now.timestamp() < regular["end"] else None
    last = max((day for day in days if day is not None), default=None)
    # On any exchange, sessions before yesterday have ended.
    if last is None or last < now.date() - timedelta(days=1):
        return None
    return last if now < session_end(calendar, last, clock.zone) else None


def without_live_twin(days: Sequence[date | None], closes: Sequence[Any]) -> set[int]:
    """Rows to drop because the last day occurs twice, as a bar and as a live quote.

    The later row is kept, unless it has no close.

    Args:
        days: Trading dates of the rows; None for unreadable ones.
        closes: Closes, aligned with ``days``.

    Returns:
        Indices of the rows to drop.
    """
    known = [day for day in days if day is not None]
    if not known:
        return set()
    last = max(known)
    rows = [row for row, day in enumerate(days) if day == last]
    kept = next((row for row in reversed(rows) if closes[row] is not None), rows[-1])
    return set(rows) - {kept}
