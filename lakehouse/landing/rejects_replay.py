"""Replays rejected bars after a rule, a limit or the calendar day has changed."""

import json
from datetime import UTC, date, datetime
from uuid import uuid4

import polars as pl
import pyarrow as pa

from catalog.tables import QUOTES, SPLITS
from lakehouse.landing.frames import to_frame
from lakehouse.landing.held import rows_of
from lakehouse.landing.landing import Landing
from lakehouse.landing.quality import Expectation, check_quotes
from lakehouse.landing.rejects import (
    REPLAYED,
    record_rejects,
    rejects_with_status,
)
from lakehouse.landing.request import Counts, IngestReport
from lakehouse.platform import Platform
from lakehouse.sources.columns import MALFORMED, typed_table
from lakehouse.sources.reader import QUOTES_SCHEMA, REJECT_SCHEMA


def replay_rejects(
    platform: Platform, source: str, *, rule: str | None = None, symbol: str | None = None
) -> IngestReport:
    """Put open rejects through the quality gate again and merge those that pass now.

    Superseded rejects are left alone because the lake holds a newer bar. Bars that still break a
    rule stay in quarantine unchanged.

    Args:
        platform: The lake; its settings give the limits.
        source: Quote source.
        rule: Replay only rejects of this rule; None replays all.
        symbol: Replay only rejects of this symbol; None replays all.

    Returns:
        Counts by table and symbol; all zero if nothing was open.

    Raises:
        CatalogUnavailable: The catalog does not answer.
        CommitConflict: Other writers won every attempt.
    """
    catalog = platform.lake
    rejects = rejects_with_status(catalog, source).filter(pl.col("status") == "open")
    for column, wanted in (("rule", rule), ("symbol", symbol)):
        if wanted is not None:
            rejects = rejects.filter(pl.col(column) == wanted)
    landing = Landing(catalog, source, load_id=f"replay-{uuid4().hex}")
    bars = _bars(rejects["payload"].to_list(), source)
    if not bars.num_rows:
        return IngestReport(source=source, tables={QUOTES.name: Counts()})
    today = datetime.now(UTC).date()
    verdict = check_quotes(
        bars,
        Expectation(
            # The dates and symbols of the original request are no longer known.
            start=date.min,
            end=today,
            today=today,
            symbols=None,
            splits=rows_of(catalog, SPLITS, source),
            jump_limit=platform.settings.ingest.jump_limit,
        ),
    )
    landing.land_quotes(verdict, record=False)
    passed = to_frame(verdict.accepted).select("source", "symbol", "trade_date")
    markers = rejects.join(passed, on=passed.columns, how="semi").with_columns(
        rule=pl.lit(REPLAYED), reason=pl.lit("accepted on replay")
    )
    record_rejects(catalog, markers.select(REJECT_SCHEMA.names).to_arrow(), landing.load_id)
    return IngestReport(
        source=source,
        tables=landing.tables,
        symbols=landing.symbols,
        snapshots=landing.snapshots,
    )


def _bars(payloads: list[str], source: str) -> pa.Table:
    rows = [json.loads(payload) for payload in payloads]
    columns = {
        name: [row.get(name) for row in rows] for name in QUOTES_SCHEMA.names if name != MALFORMED
    }
    return typed_table(columns | {"source": [source] * len(rows)}, QUOTES_SCHEMA, rows=len(rows))
