"""Results as tables for people."""

from typing import TYPE_CHECKING, Any

from lakehouse.cli import show

if TYPE_CHECKING:
    from lakehouse.landing.request import IngestReport
    from lakehouse.warehouse.transform import TransformReport

MAX_SYMBOLS = 25


def show_ingest(report: "IngestReport") -> None:
    """Counts by table and symbol, and what failed."""
    headers = ["", "new", "corrected", "unchanged", "rejected", "flagged"]
    show.table(
        f"Landed from {report.source} ({report.requests} requests, {report.seconds:.1f} s)",
        headers,
        [(name, *_counts(counts)) for name, counts in report.tables.items()],
    )
    if report.symbols:
        symbols = list(report.symbols.items())
        show.table(
            "Quotes by symbol",
            headers,
            [(name, *_counts(counts)) for name, counts in symbols[:MAX_SYMBOLS]],
        )
        if len(symbols) > MAX_SYMBOLS:
            show.line(f"… and {len(symbols) - MAX_SYMBOLS} more symbols; --json lists all.")
    for warning in report.warnings:
        show.warning(warning)
    for name, reason in report.failed.items():
        show.error(f"{name}: {reason}")
    if report.failed:
        show.line("What failed is read again by the next ingest.")


def _counts(counts: Any) -> tuple[str, ...]:
    names = ("new", "corrected", "unchanged", "rejected", "flagged")
    return tuple(f"{getattr(counts, name):,}" for name in names)


def show_transform(report: "TransformReport | None") -> None:
    """What dbt built."""
    if report is None:
        show.line("Nothing changed in the lake since the last build; the marts are up to date.")
        return
    nodes = ", ".join(f"{count} {status}" for status, count in report.nodes.items())
    show.table(
        f"dbt: {nodes} ({report.seconds:.1f} s)",
        ["mart", "rows"],
        [(name, f"{rows:,}") for name, rows in report.rows.items()],
    )
    for warning in report.warnings:
        show.warning(warning)
