"""The quarantine ``raw.rejects``: recorded once, listed, replayed.

The table is append-only. What became of a reject is derived: an accepted replay appends a marker
row with the rule ``replayed``, and a bar that came later for the same key supersedes it.
"""

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pyarrow as pa
from pyiceberg.catalog import Catalog

from catalog.merge import merge
from catalog.tables import QUOTES, REJECTS
from lakehouse.landing.frames import to_frame
from lakehouse.landing.held import rows_of
from lakehouse.landing.quality import KEPT, KEY
from lakehouse.sources.reader import REJECT_SCHEMA

# The payload holds symbol and date, which may be null themselves. With this as its key a merge adds
# rejects that are not there yet, even beside another ingest, and never touches those that are.
IDENTITY = ("source", "rule", "payload")
QUARANTINE = replace(REJECTS, key=IDENTITY, audit=("reason", *REJECTS.audit))
REPLAYED = "replayed"
# Rejected for another reason than the bar itself; to ask for them again is pointless.
NOT_ASKED_FOR = ("unknown_symbol", "out_of_range", "future", "too_early")
REPLAY_KEY = ("source", "symbol", "trade_date", "payload")


@dataclass(frozen=True)
class Reject:
    """One row of the quarantine.

    Attributes:
        source: Quote source.
        symbol: Symbol; None when the row had none.
        trade_date: Date; None when the row had none that can be read.
        rule: The rule that it broke.
        reason: What is wrong, in words.
        status: ``open``; ``flagged`` (the bar is in the lake); ``replayed`` (accepted later); or
            ``superseded`` (the lake got another bar for that symbol and date later).
        payload: The row as it came, decoded.
        rejected_at: When.
    """

    source: str
    symbol: str | None
    trade_date: date | None
    rule: str
    reason: str
    status: str
    payload: dict[str, Any]
    rejected_at: datetime

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def record_rejects(catalog: Catalog, rows: pa.Table, load_id: str) -> int:
    """Add rejects that are not there yet; the same bad bar read again is the same reject.

    Args:
        catalog: The lake.
        rows: Columns of ``REJECT_SCHEMA``.
        load_id: Name of the load.

    Returns:
        How many were added.
    """
    if not rows.num_rows:
        return 0
    once = to_frame(rows.cast(REJECT_SCHEMA)).unique(IDENTITY, keep="first", maintain_order=True)
    now = pl.lit(datetime.now(UTC)).cast(pl.Datetime("us", "UTC"))
    stamped = once.with_columns(load_id=pl.lit(load_id), rejected_at=now)
    return merge(catalog, QUARANTINE, stamped.to_arrow(), commit_id=f"{load_id}/rejects").new


def list_rejects(
    catalog: Catalog,
    source: str,
    *,
    symbol: str | None = None,
    rule: str | None = None,
) -> list[Reject]:
    """Rejects of a source, oldest first.

    Args:
        catalog: The lake.
        source: Name of the quote source.
        symbol: Only this symbol.
        rule: Only this rule.
    """
    frame = rejects_with_status(catalog, source)
    for column, wanted in (("symbol", symbol), ("rule", rule)):
        if wanted is not None:
            frame = frame.filter(pl.col(column) == wanted)
    names = [*REJECT_SCHEMA.names, "status", "rejected_at"]
    rows = frame.sort("rejected_at", *KEY).select(names).to_dicts()
    return [Reject(**{**row, "payload": json.loads(row["payload"])}) for row in rows]


def rejected_days(
    catalog: Catalog, source: str, symbols: Collection[str] | None, since: date
) -> dict[str, set[date]]:
    """Days by symbol of which a bar was rejected and the lake has none, to ask for them again.

    Args:
        catalog: The lake.
        source: Name of the quote source.
        symbols: Only these; None takes all.
        since: Leaves out earlier days.
    """
    rows = to_frame(rows_of(catalog, REJECTS, source, columns=("rule", *KEY))).filter(
        ~pl.col("rule").is_in([*KEPT, REPLAYED, *NOT_ASKED_FOR]),
        pl.col("symbol").is_not_null(),
        pl.col("trade_date") >= since,
    )
    if symbols is not None:
        rows = rows.filter(pl.col("symbol").is_in(sorted(symbols)))
    if not rows.height:
        return {}
    landed = to_frame(
        rows_of(
            catalog,
            QUOTES,
            source,
            symbols=rows["symbol"].unique().to_list(),
            columns=("symbol", "trade_date"),
        )
    )
    days: dict[str, set[date]] = {}
    missing = (
        rows.select("symbol", "trade_date")
        .unique()
        .join(landed, on=["symbol", "trade_date"], how="anti")
    )
    for symbol, day in missing.iter_rows():
        days.setdefault(symbol, set()).add(day)
    return days


def rejects_with_status(catalog: Catalog, source: str) -> pl.DataFrame:
    """All rejects of a source, with the column ``status`` (see ``Reject``)."""
    rows = to_frame(rows_of(catalog, REJECTS, source))
    markers = rows.filter(pl.col("rule") == REPLAYED)
    rejects = rows.filter(pl.col("rule") != REPLAYED)
    if not rejects.height:
        return rejects.with_columns(status=pl.lit(""))
    landed = to_frame(
        rows_of(
            catalog,
            QUOTES,
            source,
            symbols=rejects["symbol"].drop_nulls().unique().to_list(),
            columns=(*KEY, "ingested_at"),
        )
    )
    return (
        rejects.join(
            markers.select(*REPLAY_KEY, _replayed=pl.lit(True)).unique(),
            on=REPLAY_KEY,
            how="left",
            nulls_equal=True,
        )
        .join(landed, on=KEY, how="left")
        .with_columns(
            status=pl.when(pl.col("rule").is_in(KEPT))
            .then(pl.lit("flagged"))
            .when(pl.col("_replayed").is_not_null())
            .then(pl.lit(REPLAYED))
            .when(pl.col("ingested_at") >= pl.col("rejected_at"))
            .then(pl.lit("superseded"))
            .otherwise(pl.lit("open"))
        )
        .drop("_replayed", "ingested_at")
    )
