"""Findings that show only at the end of a run: stale symbols, failed days, missing dividends."""

from bisect import bisect_right
from collections.abc import Iterator
from datetime import date
from uuid import uuid4

import pyarrow.compute as pc

from catalog.tables import DIVIDENDS
from lakehouse.findings import (
    DAY_NOT_READ,
    DIVIDENDS_NOT_OFFERED,
    STALE_SYMBOL,
    WARNING,
    Finding,
    Scope,
    reconcile,
)
from lakehouse.landing.calendars import Calendars
from lakehouse.landing.held import rows_of
from lakehouse.landing.landing import Landing
from lakehouse.landing.plan import Planner
from lakehouse.sources.reader import FetchLog, Window

# Up to this many sessions without a bar may be a holiday missing from the calendar.
STALE_SESSIONS = 5
NEVER = date(1900, 1, 1)


def look_back(
    landing: Landing, log: FetchLog, planner: Planner, calendars: Calendars, *, explicit: bool
) -> None:
    """Record what shows only when all batches are done.

    Args:
        landing: What was landed.
        log: Failures and remarks of the source.
        planner: What was requested.
        calendars: Trading days of the symbols.
        explicit: Whether the request named an end date, so that no symbol can be stale.
    """
    source = landing.source
    found: list[Finding] = []
    scopes: list[Scope] = []
    known = {} if explicit else planner.newest_known(log.failed)
    if known:
        found += _stale(source, known, landing.newest, calendars)
        ever = {symbol: Window(symbol, date.min, date.max) for symbol in known}
        scopes.append(Scope(frozenset({STALE_SYMBOL}), ever))
    for day in planner.days:
        if reason := log.failed.get(str(day)):
            found.append(Finding(source, "", DAY_NOT_READ, day, day, WARNING, reason))
        scopes.append(Scope(frozenset({DAY_NOT_READ}), {"": Window("", day, day)}))
    if log.dividends_read or log.missing.get("dividends"):
        found += _without_dividends(landing, log)
        scopes.append(
            Scope(frozenset({DIVIDENDS_NOT_OFFERED}), {"": Window("", date.min, date.max)})
        )
    landing.findings += reconcile(
        landing.catalog, source, found, scopes, landing.load_id or uuid4().hex
    )


def _stale(
    source: str, known: dict[str, date | None], newest: dict[str, date], calendars: Calendars
) -> Iterator[Finding]:
    """Symbols that were read but lack bars for the latest sessions of the others."""
    last = {
        symbol: max(days)
        for symbol, day in known.items()
        if (days := [each for each in (day, newest.get(symbol)) if each])
    }
    latest = max(last.values(), default=NEVER)
    for symbol, day in last.items():
        sessions = calendars.sessions(symbol)
        behind = bisect_right(sessions, latest) - bisect_right(sessions, day)
        if behind > STALE_SESSIONS:
            seen = f"no bar since {day}, {behind} sessions behind the latest of {source}"
            yield Finding(source, symbol, STALE_SYMBOL, day, day, WARNING, seen)


def _without_dividends(landing: Landing, log: FetchLog) -> Iterator[Finding]:
    """Whether the source stopped offering dividends; older ones stay in the lake."""
    missing = log.missing.get("dividends", {})
    if not missing:
        return
    reason = next(iter(missing.values()))
    if log.dividends_read:
        names = ", ".join(sorted(missing)[:5])
        log.warn(f"no dividends of {names} ({len(missing)} symbols): {reason}")
        return
    days = rows_of(landing.catalog, DIVIDENDS, landing.source, columns=("record_date",))
    last = pc.max(days.column("record_date")).as_py()
    since = f"since {last}" if last else "at all"
    seen = (
        f"no dividends {since}: {reason} Total returns lack later payments; "
        "add them to seeds/dividend_overrides.csv."
    )
    log.warn(f"no dividends {since}: {reason}")
    yield Finding(
        landing.source, "", DIVIDENDS_NOT_OFFERED, last or NEVER, last or NEVER, WARNING, seen
    )
