"""Quote sources and the HTTP manners they share."""

from pydantic import BaseModel, Field


class HttpSettings(BaseModel):
    """One policy for every quote API: retries, pacing, timeouts, parallelism."""

    attempts: int = Field(5, ge=1, le=20, description="Tries per request, the first included.")
    backoff_seconds: float = Field(
        0.5, ge=0, le=60, description="First pause between tries; doubles, with jitter."
    )
    max_backoff_seconds: float = Field(
        30.0, ge=0, le=600, description="Longest pause, also for Retry-After."
    )
    connect_timeout_seconds: float = Field(5.0, gt=0, le=120, description="To open a connection.")
    read_timeout_seconds: float = Field(30.0, gt=0, le=600, description="Between two bytes.")
    pause_seconds: float = Field(
        0.15, ge=0, le=60, description="Least time between two requests to one host."
    )
    parallel: int = Field(4, ge=1, le=32, description="Requests under way at once per source.")


class MoexSettings(BaseModel):
    """Moscow Exchange ISS, or anything that speaks its wire format."""

    base_url: str = Field(
        "https://iss.moex.com", description="Scheme, host and port; /iss/… follows."
    )
    board: str = Field("TQBR", description="Board whose quotes are read.")
    engine: str = Field("stock", description="Trading engine in ISS paths.")
    market: str = Field("shares", description="Market in ISS paths.")


class YahooSettings(BaseModel):
    """Yahoo chart API, version 8."""

    base_url: str = Field(
        "https://query1.finance.yahoo.com", description="Scheme, host and port; /v8/… follows."
    )


class IngestSettings(BaseModel):
    """What is fetched, and how strict the quality gate is."""

    source: str = Field("sample", description="Default quote source: sample, moex or yahoo.")
    start: str = Field("2000-01-01", description="First date of a first backfill (YYYY-MM-DD).")
    lookback_days: int = Field(
        10, ge=0, le=365, description="Calendar days fetched again for late corrections."
    )
    max_reject_share: float = Field(
        0.05, ge=0, le=1, description="Share of rejected bars above which nothing is committed."
    )
    jump_limit: float = Field(
        0.5, gt=0, description="Absolute log return without a split that is flagged as a jump."
    )
