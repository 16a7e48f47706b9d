"""Exchange calendars: which one a symbol follows, and when its sessions end."""

from datetime import date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lakehouse.errors import SettingsError
from lakehouse.sources.reader import CALENDAR_SCHEMA, rows_to_arrow

if TYPE_CHECKING:
    from exchange_calendars import ExchangeCalendar

AROUND_THE_CLOCK = "24/7"
WORKING_DAYS = "24/5"
# Working days on which no currency is quoted.
CURRENCY_HOLIDAYS = frozenset({(1, 1), (12, 25)})
# Calendars by kind of instrument, independent of the exchange.
BY_KIND = {
    "CRYPTOCURRENCY": AROUND_THE_CLOCK,
    "CURRENCY": WORKING_DAYS,
    "FUTURE": "CMES",
}
# Calendars by the exchange's time zone. Exchanges in the same zone trade on the same days. New York
# is not listed, because the setting yahoo.calendar covers it.
BY_ZONE = {
    "Africa/Johannesburg": "XJSE",
    "America/Argentina/Buenos_Aires": "XBUE",
    "America/Bogota": "XBOG",
    "America/Buenos_Aires": "XBUE",
    "America/Lima": "XLIM",
    "America/Mexico_City": "XMEX",
    "America/Santiago": "XSGO",
    "America/Sao_Paulo": "BVMF",
    "America/Toronto": "XTSE",
    "Asia/Bangkok": "XBKK",
    "Asia/Calcutta": "XBOM",
    "Asia/Hong_Kong": "XHKG",
    "Asia/Jakarta": "XIDX",
    "Asia/Jerusalem": "XTAE",
    "Asia/Karachi": "XKAR",
    "Asia/Kolkata": "XBOM",
    "Asia/Kuala_Lumpur": "XKLS",
    "Asia/Manila": "XPHS",
    "Asia/Riyadh": "XSAU",
    "Asia/Seoul": "XKRX",
    "Asia/Shanghai": "XSHG",
    "Asia/Singapore": "XSES",
    "Asia/Taipei": "XTAI",
    "Asia/Tel_Aviv": "XTAE",
    "Asia/Tokyo": "XTKS",
    "Atlantic/Reykjavik": "XICE",
    "Australia/Sydney": "XASX",
    "Europe/Amsterdam": "XAMS",
    "Europe/Athens": "ASEX",
    "Europe/Berlin": "XETR",
    "Europe/Brussels": "XBRU",
    "Europe/Bucharest": "XBSE",
    "Europe/Budapest": "XBUD",
    "Europe/Copenhagen": "XCSE",
    "Europe/Dublin": "XDUB",
    "Europe/Helsinki": "XHEL",
    "Europe/Istanbul": "XIST",
    "Europe/Lisbon": "XLIS",
    "Europe/London": "XLON",
    "Europe/Madrid": "XMAD",
    "Europe/Moscow": "XMOS",
    "Europe/Oslo": "XOSL",
    "Europe/Paris": "XPAR",
    "Europe/Prague": "XPRA",
    "Europe/Riga": "XRIS",
    "Europe/Rome": "XMIL",
    "Europe/Stockholm": "XSTO",
    "Europe/Tallinn": "XTAL",
    "Europe/Vienna": "XWBO",
    "Europe/Vilnius": "XLIT",
    "Europe/Warsaw": "XWAR",
    "Europe/Zurich": "XSWX",
    "Pacific/Auckland": "XNZE",
}
# Calendars by the symbol's suffix, for responses that name no zone.
BY_SUFFIX = {
    "-USD": AROUND_THE_CLOCK,
    "-EUR": AROUND_THE_CLOCK,
    "=X": WORKING_DAYS,
    "=F": "CMES",
    ".HK": "XHKG",
    ".TA": "XTAE",
    ".L": "XLON",
    ".T": "XTKS",
    ".DE": "XETR",
    ".F": "XFRA",
    ".PA": "XPAR",
    ".AS": "XAMS",
    ".MI": "XMIL",
    ".MC": "XMAD",
    ".SW": "XSWX",
    ".TO": "XTSE",
    ".V": "XTSE",
    ".AX": "XASX",
    ".NS": "XBOM",
    ".BO": "XBOM",
    ".SS": "XSHG",
    ".SZ": "XSHG",
    ".KS": "XKRX",
    ".TW": "XTAI",
    ".SA": "BVMF",
    ".ME": "XMOS",
}
MARGIN = timedelta(days=31)


def calendar_of(symbol: str, kind: Any, zone: Any, default: str) -> str:
    """Name of a symbol's calendar in the package exchange_calendars.

    Args:
        symbol: The symbol; its suffix is the last resort.
        kind: Yahoo's kind of instrument, such as ``CURRENCY``; of any type.
        zone: Time zone of its exchange, such as ``Europe/Paris``; of any type.
        default: Calendar for unrecognised symbols.

    Returns:
        An ISO 10383 market code such as XNYS, 24/5 or 24/7.
    """
    if kind in BY_KIND:
        return BY_KIND[kind]
    if isinstance(zone, str) and zone:
        return BY_ZONE.get(zone, default)
    endings = (name for ending, name in BY_SUFFIX.items() if symbol.endswith(ending))
    return next(endings, default)


def exchange_calendar(name: str, source: str, start: date, end: date) -> pa.Table:
    """Every day between two dates, open or not, according to exchange_calendars.

    Days that the package does not cover are omitted.

    Args:
        name: The calendar's name: an ISO 10383 market code such as XNYS, 24/5 or 24/7.
        source: Value of the column ``source``.
        start: First day.
        end: Last day, inclusive.

    Returns:
        Rows in the columns of ``CALENDAR_SCHEMA``.

    Raises:
        SettingsError: There is no calendar of that name.
    """
    calendar = _calendar(name, start - MARGIN, end + MARGIN)
    if calendar is None:
        return CALENDAR_SCHEMA.empty_table()
    first = max(start, calendar.first_session.date())
    last = min(end, calendar.last_session.date())
    open_days = set(sessions(name, first, last)) if first <= last else set()
    days = (first + timedelta(days=number) for number in range((last - first).days + 1))
    return rows_to_arrow(
        (
            {
                "source": source,
                "trade_date": day,
                "is_open": day in open_days,
                "reason": f"calendar {name}",
            }
            for day in days
        ),
        CALENDAR_SCHEMA,
    )


def sessions(name: str, start: date, end: date) -> tuple[date, ...]:
    """Trading days between two dates, as far as they are known.

    Args:
        name: The calendar's name in exchange_calendars.
        start: First day.
        end: Last day, inclusive.

    Returns:
        Dates in ascending order.

    Raises:
        SettingsError: There is no calendar of that name.
    """
    calendar = _calendar(name, start - MARGIN, end + MARGIN)
    if calendar is None:
        return ()
    days = (stamp.date() for stamp in calendar.sessions)
    closed = CURRENCY_HOLIDAYS if name == WORKING_DAYS else frozenset()
    return tuple(d for d in days if start <= d <= end and (d.month, d.day) not in closed)


def session_end(name: str, day: date, zone: tzinfo) -> datetime:
    """The time at which the bar of a day is final.

    Args:
        name: The calendar's name in exchange_calendars.
        day: The trading date.
        zone: Time zone of the exchange.

    Returns:
        The close of the session, or midnight for calendars without hours; aware of its zone.

    Raises:
        SettingsError: There is no calendar of that name.
    """
    calendar = _calendar(name, day - MARGIN, day + MARGIN)
    has_hours = calendar is not None and name not in (AROUND_THE_CLOCK, WORKING_DAYS)
    if calendar is not None and has_hours and calendar.is_session(day.isoformat()):
        end: datetime = calendar.session_close(day.isoformat()).to_pydatetime()
        return end
    return datetime.combine(day + timedelta(days=1), time(), zone)


@lru_cache(maxsize=64)
def _calendar(name: str, start: date, end: date) -> "ExchangeCalendar | None":
    """The calendar for as much of the range as possible; None if it cannot be built at all.

    The package knows some exchanges only from or up to a year, and cannot build others across a
    change of their trading week.
    """
    import exchange_calendars

    new_year = date(end.year, 1, 5)
    for first, last in (
        (start, end),
        (start, None),
        (None, end),
        (None, None),
        (max(start, new_year), end),
        (max(start, new_year), None),
    ):
        try:
            return exchange_calendars.get_calendar(name, start=first, end=last)
        except exchange_calendars.errors.InvalidCalendarName as error:
            raise SettingsError(f"exchange_calendars knows no calendar '{name}'.") from error
        except (ValueError, NotImplementedError):
            continue
    return None
