"""Trading days of an exchange for sources that do not offer a calendar themselves."""

from datetime import date, timedelta

import pyarrow as pa

from lakehouse.errors import SettingsError
from lakehouse.sources.reader import CALENDAR_SCHEMA, rows_to_arrow


def exchange_calendar(name: str, source: str, start: date, end: date) -> pa.Table:
    """Every day between two dates, open or not, by the package exchange_calendars.

    Args:
        name: The calendar's name there: an ISO 10383 market code such as XNYS.
        source: Value of the column ``source``.
        start: First day.
        end: Last day.

    Raises:
        SettingsError: There is no calendar of that name.
    """
    import exchange_calendars

    try:
        # A calendar needs a span of some days to be built.
        calendar = exchange_calendars.get_calendar(
            name, start=start - timedelta(days=31), end=end + timedelta(days=31)
        )
    except exchange_calendars.errors.InvalidCalendarName as error:
        raise SettingsError(f"exchange_calendars knows no calendar '{name}'.") from error
    sessions = {stamp.date() for stamp in calendar.sessions}
    days = (start + timedelta(days=number) for number in range((end - start).days + 1))
    return rows_to_arrow(
        (
            {
                "source": source,
                "trade_date": day,
                "is_open": day in sessions,
                "reason": f"calendar {name}",
            }
            for day in days
        ),
        CALENDAR_SCHEMA,
    )
