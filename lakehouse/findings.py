"""Findings: what is odd about the data, kept in ``raw.findings`` until somebody has decided.

A finding is open, acknowledged (somebody says that the data is right, or that it does not matter)
or mended (the data changed, and the rule holds again). Severe open findings keep their symbol, from
their first date on, out of training and forecasts.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime
from typing import Any, Protocol

import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.expressions import AlwaysTrue, BooleanExpression, EqualTo
from pyiceberg.io.pyarrow import schema_to_pyarrow

from catalog.connect import load_table
from catalog.merge import merge
from catalog.tables import FINDINGS
from lakehouse.errors import UsageError

SEVERE, WARNING, NOTE = "severe", "warning", "note"
OPEN, ACKNOWLEDGED, MENDED = "open", "acknowledged", "mended"

# Rules about prices, judged whenever the bars around their date are read.
JUMP = "jump"
LEVEL_SWITCH = "level_switch"
UNLISTED_SPLIT = "unlisted_split"
SPLIT_CONTRADICTED = "split_contradicted"
SPLIT_NOT_APPLIED = "split_not_applied"
TOO_MANY_REJECTS = "too_many_rejects"
PRICE_RULES = frozenset(
    {JUMP, LEVEL_SWITCH, UNLISTED_SPLIT, SPLIT_CONTRADICTED, SPLIT_NOT_APPLIED, TOO_MANY_REJECTS}
)
# Rules about dividends.
DIVIDEND_OUT_OF_PROPORTION = "dividend_out_of_proportion"
DIVIDENDS_DIFFER = "dividends_differ"
DIVIDEND_RULES = frozenset({DIVIDEND_OUT_OF_PROPORTION, DIVIDENDS_DIFFER})
# Rules about what is missing or misplaced in time.
FAR_FUTURE = "far_future"
MISSING_SESSIONS = "missing_sessions"
STALE_SYMBOL = "stale_symbol"
DAY_NOT_READ = "day_not_read"
DIVIDENDS_NOT_OFFERED = "dividends_not_offered"

Key = tuple[str, str, str, date]


@dataclass(frozen=True)
class Finding:
    """One row of ``raw.findings``.

    Attributes:
        source: Quote source.
        symbol: Symbol; empty when it concerns all of the source.
        rule: Name of the rule.
        first_date: First trading date that it concerns; part of the key.
        last_date: Last one.
        severity: ``severe``, ``warning`` or ``note``.
        seen: What was seen, in words.
        proposal: What would put it right, such as a line of ``split_overrides.csv``.
        state: ``open``, ``acknowledged`` or ``mended``.
        acknowledged_by: Who decided.
        acknowledged_why: The reason given.
        acknowledged_at: When.
        found_at: When it was found first.
    """

    source: str
    symbol: str
    rule: str
    first_date: date
    last_date: date
    severity: str
    seen: str
    proposal: str = ""
    state: str = OPEN
    acknowledged_by: str | None = None
    acknowledged_why: str | None = None
    acknowledged_at: datetime | None = None
    found_at: datetime | None = None

    @property
    def key(self) -> Key:
        """What identifies it."""
        return self.source, self.symbol, self.rule, self.first_date

    def __str__(self) -> str:
        """One line for people."""
        days = str(self.first_date)
        if self.last_date > self.first_date:
            days += f" to {self.last_date}"
        name = f"{self.source} {self.symbol}".strip()
        return f"{name}, {days}: {self.rule}: {self.seen}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


class Span(Protocol):
    """Dates that a load has judged."""

    def holds(self, day: date) -> bool:
        """Whether a date is among them."""


@dataclass(frozen=True)
class Scope:
    """What a load has judged, so that an open finding that it did not find again is mended.

    Attributes:
        rules: The rules that were applied.
        dates: The dates that were judged, by symbol.
    """

    rules: frozenset[str]
    dates: Mapping[str, Span]

    def covers(self, finding: Finding) -> bool:
        """Whether the load would have found this finding again."""
        span = self.dates.get(finding.symbol)
        return finding.rule in self.rules and span is not None and span.holds(finding.first_date)


def differing_dividends(source: str, symbol: str, day: date, amounts: Iterable[float]) -> Finding:
    """A date with several dividends, of which the last one listed counts."""
    listed = ", ".join(f"{amount:g}" for amount in amounts)
    seen = f"different dividends on one date: {listed}; the last one counts, they are not summed"
    return Finding(source, symbol, DIVIDENDS_DIFFER, day, day, WARNING, seen)


def list_findings(
    catalog: Catalog,
    *,
    source: str | None = None,
    symbol: str | None = None,
    rule: str | None = None,
    state: str | None = None,
) -> list[Finding]:
    """Findings, the severest and latest first.

    Args:
        catalog: The lake.
        source: Only of this source.
        symbol: Only of this symbol.
        rule: Only of this rule.
        state: Only in this state.
    """
    wanted: BooleanExpression = AlwaysTrue() if source is None else EqualTo("source", source)
    rows = load_table(catalog, FINDINGS).scan(wanted).to_arrow().drop_columns(["load_id"])
    found = [Finding(**row) for row in rows.to_pylist()]
    for name, value in (("symbol", symbol), ("rule", rule), ("state", state)):
        found = [finding for finding in found if value in (None, getattr(finding, name))]
    order = (SEVERE, WARNING, NOTE)
    found.sort(key=lambda finding: (finding.source, finding.symbol, finding.first_date))
    return sorted(
        found,
        key=lambda finding: (
            finding.state != OPEN,
            order.index(finding.severity) if finding.severity in order else len(order),
        ),
    )


def open_counts(findings: Iterable[Finding]) -> dict[str, int]:
    """How many are open, by severity; severities without any are left out."""
    counts = dict.fromkeys((SEVERE, WARNING, NOTE), 0)
    for finding in findings:
        if finding.state == OPEN:
            counts[finding.severity] = counts.get(finding.severity, 0) + 1
    return {severity: count for severity, count in counts.items() if count}


def reconcile(
    catalog: Catalog,
    source: str,
    found: Iterable[Finding],
    scopes: Iterable[Scope],
    load_id: str,
) -> list[Finding]:
    """Bring the table up to date with what a load found.

    What is known stays as it is when it was acknowledged, and is opened again when it had been
    mended. What is open and was judged again without being found is mended.

    Args:
        catalog: The lake.
        source: Quote source of the load.
        found: What it found.
        scopes: What it judged.
        load_id: Name of the load.

    Returns:
        The findings that are new or open again.
    """
    known = {finding.key: finding for finding in list_findings(catalog, source=source)}
    now = datetime.now(UTC)
    fresh, changed = [], []
    seen = {finding.key: finding for finding in found}
    for key, finding in seen.items():
        before = known.get(key)
        if before is None or before.state == MENDED:
            fresh.append(replace(finding, found_at=now))
        elif before.state == OPEN:
            changed.append(replace(finding, found_at=before.found_at))
    judged = list(scopes)
    for key, before in known.items():
        if before.state == OPEN and key not in seen and any(s.covers(before) for s in judged):
            changed.append(replace(before, state=MENDED))
    write(catalog, fresh + changed, load_id)
    return fresh


def acknowledge(
    catalog: Catalog, findings: Collection[Finding], *, by: str, why: str
) -> list[Finding]:
    """Say that findings are all right as they are; their symbols serve again.

    Raises:
        UsageError: No reason is given, or there is nothing to acknowledge.
    """
    if not why.strip():
        raise UsageError("Say why: --why 'the split is real, see the company's notice'.")
    wanted = [finding for finding in findings if finding.state == OPEN]
    if not wanted:
        raise UsageError("No open finding fits: 'weekahead findings list' shows what there is.")
    now = datetime.now(UTC)
    decided = [
        replace(
            finding,
            state=ACKNOWLEDGED,
            acknowledged_by=by,
            acknowledged_why=why.strip(),
            acknowledged_at=now,
        )
        for finding in wanted
    ]
    write(catalog, decided, f"acknowledged by {by}")
    return decided


def write(catalog: Catalog, findings: Collection[Finding], load_id: str) -> None:
    """Merge findings into the table; nothing is committed when nothing differs."""
    if not findings:
        return
    schema = schema_to_pyarrow(FINDINGS.schema, include_field_ids=False)
    rows = [{**finding.to_dict(), "load_id": load_id} for finding in findings]
    merge(catalog, FINDINGS, pa.Table.from_pylist(rows, schema=schema), commit_id=load_id)
