"""The quarantine ``raw.rejects``: recorded once, listed, inspected, replayed."""

import hashlib
from datetime import UTC, datetime

import polars as pl
import pyarrow as pa
from pyiceberg.catalog import Catalog

from catalog.merge import append
from catalog.tables import REJECTS
from lakehouse.landing.state import rows_of

REJECT_SCHEMA = pa.schema(
    [
        ("source", pa.string()),
        ("symbol", pa.string()),
        ("trade_date", pa.date32()),
        ("rule", pa.string()),
        ("reason", pa.string()),
        ("payload", pa.string()),
    ]
)
IDENTITY = ("source", "symbol", "trade_date", "rule", "payload")


def record_rejects(catalog: Catalog, source: str, rows: pa.Table, load_id: str) -> int:
    """Add rejects that are not there yet; the same bad bar read again is the same reject.

    Args:
        catalog: The lake.
        source: Name of the quote source.
        rows: Columns of ``REJECT_SCHEMA``.
        load_id: Name of the load.

    Returns:
        How many were added.
    """
    if not rows.num_rows:
        return 0
    known = _frame(rows_of(catalog, REJECTS, source))
    new = (
        _frame(rows.cast(REJECT_SCHEMA))
        .unique(IDENTITY, keep="first", maintain_order=True)
        .join(known, on=IDENTITY, how="anti", nulls_equal=True, maintain_order="left")
    )
    if not new.height:
        return 0
    # Two ingests that find the same rejects at the same time name their commits alike.
    digest = hashlib.sha256(new.select(IDENTITY).sort(IDENTITY).write_json().encode()).hexdigest()
    stamped = new.with_columns(
        load_id=pl.lit(load_id),
        rejected_at=pl.lit(datetime.now(UTC)).cast(pl.Datetime("us", "UTC")),
    )
    append(catalog, REJECTS, stamped.to_arrow(), commit_id=f"rejects-{digest}")
    return new.height


def _frame(rows: pa.Table) -> pl.DataFrame:
    frame = pl.from_arrow(rows)
    assert isinstance(frame, pl.DataFrame)
    return frame
