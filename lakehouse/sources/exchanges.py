"""Which exchange's calendar a symbol keeps, and when a session of it ends."""

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
# By what is traded, wherever that is.
BY_KIND = {
    "CRYPTOCURRENCY": AROUND_THE_CLOCK,
    "CURRENCY": WORKING_DAYS,
    "FUTURE": "CMES",
}
# By the exchange's time zone. Where several exchanges share a zone they keep the same days; New
# York is not here, because it is what the setting yahoo.calendar is about.
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
# Where an answer names no zone, the end of the symbol says as much.
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
        symbol: The symbol, whose ending counts where nothing else is known.
        kind: Kind of instrument, as Yahoo names it.
        zone: Time zone of its exchange.
        default: Calendar of whatever is not recognised.
    """
    if kind in BY_KIND:
        return BY_KIND[kind]
    if isinstance(zone, str) and zone:
        return BY_ZONE.get(zone, default)
    endings = (name for ending, name in BY_SUFFIX.items() if symbol.endswith(ending))
    return next(endings, default)


def exchange_calendar(name: str, source: str, start: date, end: date) -> pa.Table:
    """Every day between two dates, open or not, by the package exchange_calendars.

    Days beyond what the package knows of an exchange are left out.

    Args:
        name: The calendar's name there: an ISO 10383 market code such as XNYS, 24/5 or 24/7.
        source: Value of the column ``source``.
        start: First day.
        end: Last day.

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
    """When the bar of a day is final: the session's end, or the end of a day without one."""
    calendar = _calendar(name, day - MARGIN, day + MARGIN)
    has_hours = calendar is not None and name not in (AROUND_THE_CLOCK, WORKING_DAYS)
    if calendar is not None and has_hours and calendar.is_session(day.isoformat()):
        end: datetime = calendar.session_close(day.isoformat()).to_pydatetime()
        return end
    return datetime.combine(day + timedelta(days=1), time(), zone)


@lru_cache(maxsize=64)
def _calendar(name: str, start: date, end: date) -> "ExchangeCalendar | None":
    """The calendar, as far as it can be built; None when it cannot be built at all.

    The package knows some exchanges only from or up to some year, and cannot build others across
    a change of their week.
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
