"""Findings: anomalies in the data, kept in ``raw.findings`` until someone decides on them.

A finding is open, acknowledged (someone confirmed that the data is right, or that it does not
matter) or mended (the data changed and the rule holds again). Open severe findings exclude their
symbol from training and forecasts, from their first date on.
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

# Rules about prices, evaluated whenever the bars around their date are read.
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
# Rules about missing or misdated data.
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
        symbol: Symbol; empty if the finding concerns the whole source.
        rule: Name of the rule.
        first_date: First trading date affected; part of the key.
        last_date: Last trading date affected.
        severity: ``severe``, ``warning`` or ``note``.
        seen: What was observed, in words.
        proposal: What would fix it, such as a line of ``split_overrides.csv``.
        state: ``open``, ``acknowledged`` or ``mended``.
        acknowledged_by: Who acknowledged it.
        acknowledged_why: The reason given.
        acknowledged_at: When it was acknowledged.
        found_at: When it was first found.
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
        """The key of the table: source, symbol, rule and first date."""
        return self.source, self.symbol, self.rule, self.first_date

    def __str__(self) -> str:
        """One readable line."""
        days = str(self.first_date)
        if self.last_date > self.first_date:
            days += f" to {self.last_date}"
        name = f"{self.source} {self.symbol}".strip()
        return f"{name}, {days}: {self.rule}: {self.seen}"

    def to_dict(self) -> dict[str, Any]:
        """The fields as a dictionary, for JSON."""
        return asdict(self)


class Span(Protocol):
    """Dates that a load has evaluated."""

    def holds(self, day: date) -> bool:
        """Whether a date is in the span."""


@dataclass(frozen=True)
class Scope:
    """What a load evaluated, so that open findings it no longer finds become mended.

    Attributes:
        rules: The rules that were applied.
        dates: The evaluated dates, by symbol.
    """

    rules: frozenset[str]
    dates: Mapping[str, Span]

    def covers(self, finding: Finding) -> bool:
        """Whether the load would have found this finding again."""
        span = self.dates.get(finding.symbol)
        return finding.rule in self.rules and span is not None and span.holds(finding.first_date)


def differing_dividends(source: str, symbol: str, day: date, amounts: Iterable[float]) -> Finding:
    """The finding for a date with several dividends, of which only the last one listed is used.

    Args:
        source: Quote source.
        symbol: Symbol.
        day: Record date or ex-date, as the source dates its dividends.
        amounts: The amounts per share, in the order listed.

    Returns:
        A warning, not yet in the table.
    """
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
    """Findings: open ones first, then by severity, source, symbol and date.

    Args:
        catalog: The lake.
        source: Keep only this quote source; None keeps all.
        symbol: Keep only this symbol; None keeps all.
        rule: Keep only this rule; None keeps all.
        state: Keep only this state (``open``, ``acknowledged`` or ``mended``); None keeps all.

    Returns:
        The matching findings.

    Raises:
        TableMissing: The lake has no table of findings yet.
        CatalogUnavailable: The catalog does not answer.
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
    """Number of open findings by severity; severities without any are omitted."""
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
    """Update the table with the findings of a load.

    A known finding stays as it is if acknowledged, and reopens if it had been mended. An open
    finding that the load evaluated but did not find again becomes mended.

    Args:
        catalog: The lake.
        source: Quote source of the load.
        found: The findings of the load.
        scopes: The rules, symbols and dates that the load evaluated.
        load_id: Id of the load.

    Returns:
        The findings that are new or reopened.

    Raises:
        CatalogUnavailable: The catalog does not answer.
        CommitConflict: Other writers won every attempt; nothing was written.
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
    """Acknowledge the open ones among findings, so that their symbols are used again.

    Args:
        catalog: The lake.
        findings: The findings to acknowledge; those that are not open are ignored.
        by: Who decides; stored with the finding.
        why: The reason; stored with the finding and must not be blank.

    Returns:
        The acknowledged findings.

    Raises:
        UsageError: The reason is blank, or none of the findings is open.
        CommitConflict: Other writers won every attempt; nothing was written.
    """
    if not why.strip():
        raise UsageError("Say why: --why 'the split is real, see the company's notice'.")
    wanted = [finding for finding in findings if finding.state == OPEN]
    if not wanted:
        raise UsageError("No open finding matches: 'weekahead findings list' shows them all.")
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
    """Merge findings into the table by key; a no-op if nothing differs.

    Args:
        catalog: The lake.
        findings: The findings; they replace rows with the same key.
        load_id: Id of the load, or a note on who changed them.

    Raises:
        ValueError: Two findings have the same key.
        CommitConflict: Other writers won every attempt; nothing was written.
    """
    if not findings:
        return
    schema = schema_to_pyarrow(FINDINGS.schema, include_field_ids=False)
    rows = [{**finding.to_dict(), "load_id": load_id} for finding in findings]
    merge(catalog, FINDINGS, pa.Table.from_pylist(rows, schema=schema), commit_id=load_id)
