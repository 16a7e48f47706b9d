"""Quote sources and their common HTTP policy."""

from datetime import date
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from catalog.settings import Section


class HttpSettings(Section):
    """One policy for every quote API: retries, pacing, timeouts, parallelism."""

    attempts: int = Field(5, ge=1, le=20, description="Tries per request, the first included.")
    backoff_seconds: float = Field(
        0.5, ge=0, le=60, description="First pause between tries; doubles, with jitter."
    )
    max_backoff_seconds: float = Field(
        30.0,
        ge=0,
        le=600,
        description="Longest pause; a Retry-After beyond it ends the attempts at once.",
    )
    connect_timeout_seconds: float = Field(5.0, gt=0, le=120, description="To open a connection.")
    read_timeout_seconds: float = Field(30.0, gt=0, le=600, description="Between two bytes.")
    total_timeout_seconds: float = Field(
        60.0, gt=0, le=3600, description="For a whole answer, however steadily it trickles in."
    )
    pause_seconds: float = Field(
        0.15, ge=0, le=60, description="Least time between two requests to one host."
    )
    parallel: int = Field(4, ge=1, le=32, description="Requests under way at once per source.")


def _base_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
        raise ValueError("must be scheme, host and port, such as https://host or http://host:8080")
    return value.rstrip("/")


class MoexSettings(Section):
    """Moscow Exchange ISS, or anything that speaks its wire format."""

    base_url: str = Field(
        "https://iss.moex.com", description="Scheme, host and port; /iss/… follows."
    )
    board: str = Field("TQBR", description="Board whose quotes are read.")
    engine: str = Field("stock", description="Trading engine in ISS paths.")
    market: str = Field("shares", description="Market in ISS paths.")
    dividends_per_run: int = Field(
        20,
        ge=0,
        le=100_000,
        description="A board run re-reads the dividends of this many symbols, in rotation.",
    )

    calendar: str = Field(
        "XMOS", description="Calendar of exchange_calendars used where ISS offers none."
    )

    weekend_sessions: Literal["leave_out", "own"] = Field(
        "leave_out",
        description="Additional sessions at weekends, which the exchange counts to the next "
        "working day's session: left out, or bars and trading days of their own.",
    )

    _check_url = field_validator("base_url")(_base_url)


class YahooSettings(Section):
    """Yahoo chart API, version 8."""

    base_url: str = Field(
        "https://query1.finance.yahoo.com", description="Scheme, host and port; /v8/… follows."
    )

    calendar: str = Field(
        "XNYS",
        description="Calendar of exchange_calendars for symbols whose exchange is not recognised "
        "by its time zone; Yahoo offers none itself.",
    )
    transport: Literal["urllib3", "curl_cffi"] = Field(
        "urllib3",
        description="HTTP client; curl_cffi presents itself as a browser does, and needs the "
        "extra weekahead[live].",
    )

    _check_url = field_validator("base_url")(_base_url)


class IngestSettings(Section):
    """What is fetched, and how strict the quality gate is."""

    source: str = Field("sample", description="Default quote source: sample, moex or yahoo.")
    symbols: tuple[str, ...] = Field(
        (),
        description="Symbols that a run reads when it names none; empty: all that the source "
        "lists, and for Yahoo those that the lake knows. They belong to the setting `source`.",
    )
    start: date = Field(
        date(2000, 1, 1), description="First date of a first backfill (YYYY-MM-DD)."
    )
    lookback_days: int = Field(
        10, ge=0, le=365, description="Calendar days fetched again for late corrections."
    )
    batch_symbols: int = Field(
        250, ge=1, le=10_000, description="Symbols fetched, checked and committed together."
    )
    batch_days: int = Field(
        60, ge=1, le=10_000, description="Sessions of a whole board committed together."
    )
    max_reject_share: float = Field(
        0.05, ge=0, le=1, description="Share of rejected bars above which nothing is committed."
    )
    jump_limit: float = Field(
        0.5, gt=0, description="Absolute log return without a split that is flagged as a jump."
    )
