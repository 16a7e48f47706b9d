"""Puts fetched data into the lake: check, count, merge."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from threading import Lock
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.catalog import Catalog

from catalog.merge import MergeReport, between, merge
from catalog.tables import BY_NAME, QUOTES, TableDefinition
from lakehouse.findings import Finding
from lakehouse.landing.frames import to_frame
from lakehouse.landing.quality import Expectation, Verdict, check_quotes
from lakehouse.landing.rejects import record_rejects
from lakehouse.landing.request import Counts
from lakehouse.sources.reader import (
    CALENDAR_SCHEMA,
    DIVIDENDS_SCHEMA,
    QUOTES_SCHEMA,
    REJECT_SCHEMA,
    SPLITS_SCHEMA,
)

REASONS_SHOWN = 3
ROWS_AT_ONCE = 1_500_000
# Up to this many bad bars are tolerated whatever their share, because a look-back has few bars.
FEW_REJECTS = 3


@dataclass
class Landing:
    """Lands one load; its tables may arrive from several threads.

    Attributes:
        catalog: The lake.
        source: Quote source.
        load_id: Id of the load, stored with every row and snapshot.
        tables: Counts by table so far.
        symbols: Counts of quotes by symbol so far.
        snapshots: Snapshot ids of the tables merged into.
        findings: New and reopened findings.
        newest: Last landed date by symbol.
        rescaled: Symbols whose bars in the lake differ from the load in a way that affects older
            ones too.
        error: The exception that stopped the landing of a file.
    """

    catalog: Catalog
    source: str
    load_id: str = ""
    tables: dict[str, Counts] = field(default_factory=dict)
    symbols: dict[str, Counts] = field(default_factory=dict)
    snapshots: dict[str, int | None] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    newest: dict[str, date] = field(default_factory=dict)
    rescaled: set[str] = field(default_factory=set)
    error: Exception | None = None
    _verdict: Verdict | None = None
    _lock: Lock = field(default_factory=Lock)

    def judge(self, quotes: pa.Table, expected: Expectation, max_reject_share: float) -> Verdict:
        """Check a load's bars before any of it is committed.

        A symbol with too many bad bars is refused as a whole, without affecting the others.

        Args:
            quotes: Bars in the columns of ``QUOTES_SCHEMA``.
            expected: Dates, symbols and prices to check against.
            max_reject_share: Largest tolerated share of bad bars per symbol, 0 to 1.

        Returns:
            The verdict; it is also kept for ``land``.
        """
        verdict = check_quotes(quotes, expected)
        verdict = verdict.without(_refused(verdict, quotes, expected, max_reject_share))
        self._verdict = verdict
        return verdict

    def land(self, name: str, path: Path) -> None:
        """Land one Parquet file of the load; the quotes come from the verdict instead.

        Args:
            name: Table name within the namespace ``raw``.
            path: The Parquet file.

        Raises:
            CommitConflict: Other writers won every attempt.
            SchemaMismatch: The file does not fit the table.
        """
        definition = BY_NAME[f"raw.{name}"]
        with self._lock:
            if definition is QUOTES:
                if self._verdict is not None:
                    self.land_quotes(self._verdict)
            else:
                self._land_reference(definition, pq.read_table(path))

    def land_quotes(self, verdict: Verdict, *, record: bool = True) -> None:
        """Merge accepted bars and record the rest.

        Args:
            verdict: The gate's verdict.
            record: Also write rejected and flagged bars to ``raw.rejects``.

        Raises:
            CommitConflict: Other writers won every attempt.
        """
        if record:
            remarks = pa.concat_tables([verdict.rejected, verdict.flagged])
            record_rejects(self.catalog, remarks, self.load_id)
        self._count(QUOTES, rejected=verdict.rejected.num_rows, flagged=verdict.flagged.num_rows)
        self._count_symbols(verdict.rejected, "rejected")
        self._count_symbols(verdict.flagged, "flagged")
        self.newest |= _newest(verdict.accepted)
        for part in _parts(verdict.accepted):
            report = self._merge(QUOTES, part)
            self._count_merged(part, report)

    def record(self, rejects: Sequence[dict[str, Any]]) -> None:
        """Quarantine rows of reference data that cannot be used."""
        if rejects:
            rows = pa.Table.from_pylist(list(rejects), schema=REJECT_SCHEMA)
            record_rejects(self.catalog, rows, self.load_id)

    def land_rows(self, definition: TableDefinition, rows: pa.Table) -> None:
        """Merge rows of a small table that did not come as a file.

        Args:
            definition: The table.
            rows: The rows without audit columns; if empty, nothing happens.

        Raises:
            CommitConflict: Other writers won every attempt.
        """
        if rows.num_rows:
            self._merge(definition, rows)

    def _land_reference(self, definition: TableDefinition, rows: pa.Table) -> None:
        kept, conflicts = _one_per_key(rows, definition)
        if conflicts.num_rows:
            record_rejects(self.catalog, conflicts, self.load_id)
        self._count(definition, rejected=conflicts.num_rows)
        self._merge(definition, kept)

    def _merge(self, definition: TableDefinition, rows: pa.Table) -> MergeReport:
        now = pa.scalar(datetime.now(UTC), pa.timestamp("us", tz="UTC"))
        stamped = rows.append_column(
            "load_id", pa.repeat(pa.scalar(self.load_id, pa.string()), rows.num_rows)
        ).append_column("ingested_at", pa.repeat(now, rows.num_rows))
        report = merge(
            self.catalog, definition, stamped, commit_id=f"{self.load_id}/{definition.name}"
        )
        self._count(
            definition, new=report.new, corrected=report.corrected, unchanged=report.unchanged
        )
        self.snapshots[definition.name] = report.snapshot_id
        return report

    def _count(self, definition: TableDefinition, **numbers: int) -> None:
        counted = self.tables.get(definition.name, Counts())
        self.tables[definition.name] = counted + Counts(**numbers)

    def _count_symbols(self, rows: pa.Table | None, kind: str) -> Counter[str]:
        numbers = _by_symbol(rows)
        for symbol, number in numbers.items():
            counted = self.symbols.get(symbol, Counts())
            self.symbols[symbol] = counted + Counts(**{kind: number})
        return numbers

    def _count_merged(self, rows: pa.Table, report: MergeReport) -> None:
        changed = self._count_symbols(report.new_keys, "new")
        changed += self._count_symbols(report.corrected_keys, "corrected")
        if not report.unchanged:
            return
        for symbol, number in _by_symbol(rows).items():
            counted = self.symbols.get(symbol, Counts())
            self.symbols[symbol] = counted + Counts(unchanged=number - changed[symbol])


def _newest(rows: pa.Table) -> dict[str, date]:
    latest = rows.group_by("symbol").aggregate([("trade_date", "max")])
    names, days = (latest.column(name).to_pylist() for name in ("symbol", "trade_date_max"))
    return dict(zip(names, days, strict=True))


def _parts(rows: pa.Table) -> Iterator[pa.Table]:
    """Split a large load by years, like the table's partitions, so that memory stays bounded.

    The years come in order: if the run is killed in between, the lake ends where the load stopped,
    and the next ingest continues from there.
    """
    if rows.num_rows <= ROWS_AT_ONCE:
        yield rows
        return
    years = pc.year(rows.column("trade_date"))
    chosen: list[int] = []
    total = 0
    for year, count in sorted(_counted(years).items()):
        if chosen and total + count > ROWS_AT_ONCE:
            yield rows.filter(between(years, chosen[0], chosen[-1]))
            chosen, total = [], 0
        chosen.append(year)
        total += count
    yield rows.filter(between(years, chosen[0], chosen[-1]))


def read_quotes(paths: Sequence[Path]) -> pa.Table:
    """All bars of a load."""
    return _read(paths, QUOTES_SCHEMA)


def read_splits(paths: Sequence[Path]) -> pa.Table:
    """All splits of a load."""
    return _read(paths, SPLITS_SCHEMA)


def read_dividends(paths: Sequence[Path]) -> pa.Table:
    """All dividends of a load."""
    return _read(paths, DIVIDENDS_SCHEMA)


def read_calendar(paths: Sequence[Path]) -> pa.Table:
    """All days of the calendar of a load."""
    return _read(paths, CALENDAR_SCHEMA)


def _read(paths: Sequence[Path], schema: pa.Schema) -> pa.Table:
    tables = [pq.read_table(path, schema=schema) for path in paths]
    return pa.concat_tables(tables) if tables else schema.empty_table()


def _by_symbol(rows: pa.Table | None) -> Counter[str]:
    if rows is None or not rows.num_rows:
        return Counter()
    numbers = Counter[str]()
    for symbol, number in _counted(rows.column("symbol")).items():
        numbers[symbol or "?"] += number
    return numbers


def _counted(values: pa.ChunkedArray) -> dict[Any, int]:
    counts = pc.value_counts(values)
    return dict(
        zip(counts.field("values").to_pylist(), counts.field("counts").to_pylist(), strict=True)
    )


def _one_per_key(rows: pa.Table, definition: TableDefinition) -> tuple[pa.Table, pa.Table]:
    """Rows without copies and contradictions, and the contradictions as rejects."""
    frame = to_frame(rows).unique(maintain_order=True)
    unclear = frame.select(definition.key).is_duplicated()
    unclear |= ~frame.select(pl.all_horizontal(pl.col(definition.key).is_not_null())).to_series()
    if not unclear.any():
        return frame.to_arrow(), REJECT_SCHEMA.empty_table()
    bad = frame.filter(unclear)
    dates = [name for name in definition.key if name.endswith("_date")]
    conflicts = bad.select(
        "source",
        pl.col("symbol") if "symbol" in bad.columns else pl.lit(None, pl.String).alias("symbol"),
        pl.col(dates[0]).alias("trade_date")
        if dates
        else pl.lit(None, pl.Date).alias("trade_date"),
        rule=pl.lit("duplicate"),
        reason=pl.lit(f"{definition.name} gets different or incomplete rows for one key"),
        payload=pl.struct(pl.all()).struct.json_encode(),
    )
    return frame.filter(~unclear).to_arrow(), conflicts.to_arrow()


def _refused(
    verdict: Verdict, quotes: pa.Table, expected: Expectation, limit: float
) -> dict[str, str]:
    """The symbols with too many rejected bars, with the reason."""
    rejects = Counter[str]()
    for symbol, count in _by_symbol(verdict.rejected).items():
        if expected.symbols is None or symbol in expected.symbols:
            rejects[symbol] = count
    many = [symbol for symbol, count in rejects.items() if count > FEW_REJECTS]
    if not many:
        return {}
    rows = quotes.filter(pc.is_in(quotes.column("symbol"), pa.array(many, pa.string())))
    return {
        symbol: _too_many(verdict, symbol, rejects[symbol], count, limit)
        for symbol, count in _by_symbol(rows).items()
        if rejects[symbol] > limit * count
    }


def _too_many(verdict: Verdict, symbol: str, count: int, total: int, limit: float) -> str:
    its = verdict.rejected.filter(pc.equal(verdict.rejected.column("symbol"), symbol))
    rules = Counter(its.column("rule").to_pylist())
    shown = ", ".join(f"{rule}: {number:,}" for rule, number in rules.most_common(REASONS_SHOWN))
    first = its.slice(0, 1).to_pylist()[0]
    return (
        f"{count:,} of {total:,} bars of {symbol} break a rule ({shown}; first on "
        f"{first['trade_date']}: {first['reason']}), which is more than the {limit:.1%} allowed. "
        "None of them were landed. Check what the source sends, or raise "
        "WEEKAHEAD_INGEST__MAX_REJECT_SHARE."
    )
