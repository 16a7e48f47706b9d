"""The quarantine ``raw.rejects``: recorded once, listed, replayed.

The table is append-only. The status of a reject is derived: an accepted replay appends a marker row
with the rule ``replayed``, and a bar that arrived later for the same key supersedes it.
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

# Symbol and date may be null, but the payload contains them. With this key a merge only adds
# missing rejects, even while another ingest runs, and never changes existing ones.
IDENTITY = ("source", "rule", "payload")
QUARANTINE = replace(REJECTS, key=IDENTITY, audit=("reason", *REJECTS.audit))
REPLAYED = "replayed"
# Rejected for a reason outside the bar itself; requesting them again is pointless.
NOT_ASKED_FOR = ("unknown_symbol", "out_of_range", "future", "too_early")
REPLAY_KEY = ("source", "symbol", "trade_date", "payload")


@dataclass(frozen=True)
class Reject:
    """One row of the quarantine.

    Attributes:
        source: Quote source.
        symbol: Symbol; None if the row had none.
        trade_date: Date; None if the row had no readable date.
        rule: The rule that it broke.
        reason: What is wrong, in words.
        status: ``open``; ``flagged`` (the bar is in the lake); ``replayed`` (accepted later); or
            ``superseded`` (the lake later got another bar for that symbol and date).
        payload: The original row, decoded.
        rejected_at: When it was rejected.
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
        """The fields as a dictionary, for JSON."""
        return asdict(self)


def record_rejects(catalog: Catalog, rows: pa.Table, load_id: str) -> int:
    """Add new rejects; the same bad bar read again is the same reject.

    Args:
        catalog: The lake.
        rows: Rejects in the columns of ``REJECT_SCHEMA``.
        load_id: Id of the load.

    Returns:
        Number of rejects added.

    Raises:
        CommitConflict: Other writers won every attempt; nothing was written.
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
        source: Quote source.
        symbol: Keep only this symbol; None keeps all.
        rule: Keep only this rule; None keeps all.

    Returns:
        The rejects with their status.

    Raises:
        TableMissing: The lake has no such table yet.
        CatalogUnavailable: The catalog does not answer.
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
    """Days with a rejected bar and no accepted one, to be requested again.

    Args:
        catalog: The lake.
        source: Quote source.
        symbols: Keep only these symbols; None keeps all.
        since: Skip earlier days.

    Returns:
        Days by symbol.
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
    """All rejects of a source, with their status.

    Args:
        catalog: The lake.
        source: Quote source.

    Returns:
        Columns of ``raw.rejects`` plus ``status`` (see ``Reject``).
    """
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
