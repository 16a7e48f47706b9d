"""Describes each use case's result once, for terminal, Prefect and JSON."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from lakehouse.prices import price

if TYPE_CHECKING:
    from catalog.maintenance import MaintenanceReport
    from lakehouse.landing.request import IngestReport
    from lakehouse.models.inference import PredictionReport
    from lakehouse.models.scoring import ScoreReport
    from lakehouse.models.training import TrainingReport
    from lakehouse.warehouse.transform import TransformReport

COUNTS = ("new", "corrected", "unchanged", "rejected", "flagged")
MAX_FINDINGS = 10
UP_TO_DATE = "Nothing changed in the lake since the last build; the marts are up to date."
NEXT_STEPS = """
Next
  weekahead report                                    one HTML file with charts
  weekahead predict --as-of {}    forecasts as made back then
  weekahead up --with superset                        dashboards: weekahead open dashboards"""


@dataclass(frozen=True)
class Table:
    """Rows of text under headers.

    Attributes:
        key: Identifies the table within its use case.
        title: Shown above the table.
        headers: One per column.
        rows: Cells; as many per row as headers.
        left: Number of columns, from the left, that hold text rather than numbers.
        more: Shown below the table if rows are cut off; ``{}`` is their number.
        total: Total number of rows, if only the first were kept.
    """

    key: str
    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[Any]]
    left: int = 1
    more: str = "… and {} more rows; --json lists all."
    total: int = 0


@dataclass(frozen=True)
class Result:
    """The result of a use case, for people.

    Attributes:
        data: Plain values, for JSON.
        parts: Tables and lines, in reading order.
        warnings: What needs attention.
        errors: What failed while the rest succeeded.
        exit_code: Exit code of the command.
    """

    data: Any
    parts: Sequence[Table | str] = ()
    warnings: Sequence[str] = ()
    errors: Sequence[str] = ()
    exit_code: int = 0


@dataclass(frozen=True)
class PipelineReport:
    """What each stage did; None if it had nothing to do."""

    ingested: "IngestReport"
    transformed: "TransformReport | None"
    trained: "TrainingReport"
    predicted: "PredictionReport"
    scored: "ScoreReport"

    @property
    def exit_code(self) -> int:
        """1 if a symbol failed, else 0."""
        return self.ingested.exit_code

    def to_dict(self) -> dict[str, Any]:
        """The report as a dictionary, for JSON."""
        return {
            "ingest": self.ingested.to_dict(),
            "transform": self.transformed.to_dict() if self.transformed else None,
            "train": self.trained.to_dict(),
            "predict": self.predicted.to_dict(),
            "score": self.scored.to_dict(),
            "exit_code": self.exit_code,
        }


def describe_run(report: PipelineReport) -> Result:
    """The forecasts, their accuracy, and where to look next."""
    landed = describe_ingest(report.ingested)
    forecasts = describe_forecasts(report.predicted)
    parts = (
        *_landed_line(report.ingested),
        *_open_findings(report.ingested),
        *_champion(report.trained),
        *forecasts.parts,
        NEXT_STEPS.format(_half_year(report.predicted.as_of_last)),
    )
    warnings = (*landed.warnings, *forecasts.warnings, *report.scored.warnings)
    return Result(report.to_dict(), parts, warnings, landed.errors, report.exit_code)


def describe_ingest(report: "IngestReport") -> Result:
    """Counts by table and symbol, and what failed."""
    by_table = Table(
        "tables",
        f"Landed from {report.source} ({report.requests} requests, {report.seconds:.1f} s)",
        ["", *COUNTS],
        [(name, *_counts(counts)) for name, counts in report.tables.items()],
    )
    by_symbol = Table(
        "symbols",
        "Quotes by symbol",
        ["", *COUNTS],
        [(name, *_counts(counts)) for name, counts in report.symbols.items()],
        more="… and {} more symbols; --json lists all.",
    )
    return Result(
        report.to_dict(),
        (by_table, by_symbol, *_open_findings(report)),
        [*report.warnings, *_new_findings(report)],
        [f"{name}: {reason}" for name, reason in report.failed.items()]
        + ["What failed is read again by the next ingest."] * bool(report.failed),
        report.exit_code,
    )


def describe_transform(report: "TransformReport | None") -> Result:
    """What dbt built."""
    if report is None:
        return Result({"skipped": True}, (UP_TO_DATE,))
    nodes = ", ".join(f"{count} {status}" for status, count in report.nodes.items())
    marts = Table(
        "marts",
        f"dbt: {nodes} ({report.seconds:.1f} s)",
        ["mart", "rows"],
        [(name, f"{rows:,}") for name, rows in report.rows.items()],
    )
    return Result(report.to_dict(), (marts,), report.warnings)


SCHEME = {
    "fold": "fold",
    "train_start": "train from",
    "train_end": "to",
    "train_rows": "rows",
    "gap_days": "gap days",
    "test_start": "test from",
    "test_end": "to",
    "test_rows": "rows",
}
FIGURES = {
    "mae_vs_last_price": ("MAE/last", ".4f"),
    "mae_vs_drift": ("MAE/drift", ".4f"),
    "hit_rate": ("hit rate", ".1%"),
    "always_up": ("always up", ".1%"),
    "rank_ic": ("rank IC", "+.3f"),
    "coverage_80": ("80 %", ".1%"),
    "coverage_95": ("95 %", ".1%"),
}


# Shown for each scale model, at five days.
BAND_FIGURES = {
    "pinball_vs_deviation": ("pinball / deviation", ".4f"),
    "p_vs_deviation": ("p", ".3f"),
    "coverage_80": ("80 % covers", ".1%"),
    "coverage_80_low": ("when calm", ".1%"),
    "coverage_80_high": ("when wild", ".1%"),
    "coverage_95": ("95 % covers", ".1%"),
    "width_95": ("95 % width", ".3f"),
}


def describe_training(report: "TrainingReport") -> Result:
    """The validation scheme, every candidate's figures, the gate's decision, and what serves."""
    scheme = Table(
        "scheme",
        "Validation: train on the past, leave a gap, test; the gate decides on the last window",
        list(SCHEME.values()),
        [tuple(str(row[name]) for name in SCHEME) for row in report.scheme],
    )
    scales = Table(
        "scales",
        "Bands, out of sample, 5 trading days ahead (below 1 beats the 21-day deviation)",
        ["scale", *(header for header, _ in BAND_FIGURES.values())],
        [
            (
                scale.kind,
                *(
                    number(scale.figures.get(f"{name}_h5"), style)
                    for name, (_, style) in BAND_FIGURES.items()
                ),
            )
            for scale in report.scales
        ],
    )
    candidates = Table(
        "candidates",
        "Walk-forward, out of sample, 5 trading days ahead (below 1 beats last price, or drift)",
        ["candidate", *(header for header, _ in FIGURES.values())],
        [
            (
                candidate.kind,
                *(
                    number(candidate.figures.get(f"{name}_h5"), style)
                    for name, (_, style) in FIGURES.items()
                ),
            )
            for candidate in report.candidates
        ],
    )
    parts: list[Table | str] = [scheme] if report.scheme else []
    parts += [candidates, scales, f"Gate: {report.reason}."]
    if report.champion_version:
        parts.append(
            f"Serving: version {report.champion_version} ({report.champion_kind}, bands of "
            f"{report.champion_scale})."
        )
    return Result(report.to_dict(), parts)


def describe_forecasts(report: "PredictionReport") -> Result:
    """Each symbol's five days, with the intervals of the last one."""
    by_symbol: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for forecast in report.latest:
        by_symbol[str(forecast["source"]), str(forecast["symbol"])].append(forecast)
    alike = Counter(symbol for _, symbol in by_symbol)
    horizons = max((len(forecasts) for forecasts in by_symbol.values()), default=0)
    days = [f"+{ahead}" for ahead in range(1, horizons + 1)]
    forecasts = Table(
        "forecasts",
        f"Forecast closes by {report.model_kind} (version {report.model_version}), days ahead",
        ["symbol", "as of", "last", *days, f"80 % at +{horizons}", f"95 % at +{horizons}"],
        [
            # Symbols that several sources share are shown with their source.
            _forecast_row(f"{symbol} ({source})" if alike[symbol] > 1 else symbol, forecasts)
            for (source, symbol), forecasts in sorted(by_symbol.items())
        ],
        left=2,
        more="… and {} more symbols; they are in ml.forecasts.",
    )
    warnings = []
    if report.left_out:
        warnings.append(
            "Not forecast, because of severe open findings:\n  "
            + "\n  ".join(report.left_out)
            + "\nCorrect the data, or confirm it with 'weekahead findings acknowledge'."
        )
    if report.unseen:
        warnings.append(
            f"Not forecast, because version {report.model_version} was not trained on it: "
            f"{', '.join(report.unseen)}. Run 'weekahead train'."
        )
    if report.stale:
        warnings.append(f"Too old to forecast from: {', '.join(report.stale)}.")
    line = f"{report.new} of {report.forecasts} forecasts are new in the ledger."
    return Result(report.to_dict(), (forecasts, line), warnings)


def describe_score(report: "ScoreReport") -> Result:
    """Realised figures by version and horizon."""
    drift = f"Feature drift: {len(report.drifted)} of {len(report.drift)} features."
    nothing = "No forecast has come due yet; simulate some: weekahead predict --as-of A..B"
    realised = Table(
        "realised",
        "Realised: errors below 1 beat the last price, or drift",
        ["version", "days ahead", "dates", "MAE/last", "MAE/drift", "hit rate", "up", "80 %",
         "95 %"],
        [
            (
                f"{row.version}{' (simulated)' if row.simulated else ''}",
                row.horizon,
                row.dates,
                number(row.relative_mae_last_price, ".4f"),
                number(row.relative_mae_drift, ".4f"),
                number(row.hit_rate, ".1%"),
                number(row.up_share, ".1%"),
                number(row.coverage_80, ".1%"),
                number(row.coverage_95, ".1%"),
            )
            for row in report.performance
        ],
    )  # fmt: skip
    parts = (realised if report.performance else nothing, drift)
    return Result(report.to_dict(), parts, report.warnings, exit_code=report.exit_code)


def describe_maintenance(reports: "Sequence[MaintenanceReport]") -> Result:
    """The lake before and after."""
    tables = Table(
        "tables",
        "The lake before → after",
        ["table", "files", "KiB", "snapshots", "objects", "orphans deleted"],
        [
            (
                report.table,
                f"{report.before.files} → {report.after.files}",
                f"{report.before.bytes // 1024} → {report.after.bytes // 1024}",
                f"{report.before.snapshots} → {report.after.snapshots}",
                f"{report.before.objects} → {report.after.objects}",
                report.orphans_deleted,
            )
            for report in reports
        ],
    )
    skipped = [f"{r.table}: {r.skipped}; run it again later." for r in reports if r.skipped]
    return Result([report.to_dict() for report in reports], (tables,), skipped)


def champion_figures(report: "TrainingReport") -> Mapping[str, float]:
    """Walk-forward figures of the serving model; empty if unknown."""
    for candidate in report.candidates:
        if candidate.kind == report.champion_kind:
            return candidate.figures
    return {}


def _band_loss(report: "TrainingReport") -> float | None:
    for scale in report.scales:
        if scale.kind == report.champion_scale:
            return scale.figures.get("pinball_vs_deviation_h5")
    return None


def number(value: float | None, style: str) -> str:
    """Format a figure.

    Args:
        value: The figure.
        style: A format specification such as ``.1%``.

    Returns:
        The text; empty if the figure is unknown or NaN.
    """
    return "" if value is None or value != value else format(value, style)


def _counts(counts: Any) -> tuple[str, ...]:
    return tuple(f"{getattr(counts, name):,}" for name in COUNTS)


def _half_year(last: date | None) -> str:
    """A range of dates that has come due by the last bar."""
    last = last or datetime.now(UTC).date()
    return f"{last - timedelta(days=182)}..{last - timedelta(days=10)}"


def _landed_line(report: "IngestReport") -> tuple[str, ...]:
    counts = report.tables.get("raw.quotes")
    if not counts:
        return ()
    told = [f"{getattr(counts, name):,} {name}" for name in COUNTS if getattr(counts, name)]
    return (f"Quotes from {report.source}: {', '.join(told)}.",)


def _open_findings(report: "IngestReport") -> tuple[str, ...]:
    if not report.open_findings:
        return ()
    counts = ", ".join(f"{count:,} {severity}" for severity, count in report.open_findings.items())
    return (f"Open findings of {report.source}: {counts}; see 'weekahead findings list'.",)


def _new_findings(report: "IngestReport") -> list[str]:
    """New findings, and what would fix them."""
    serious = [finding for finding in report.findings if finding.severity != "note"]
    lines = []
    for finding in serious[:MAX_FINDINGS]:
        lines.append(f"severe: {finding}" if finding.severity == "severe" else str(finding))
        if finding.proposal:
            proposed = "\n    ".join(finding.proposal.splitlines())
            lines[-1] += f"\n  If so, add to dbt/seeds/split_overrides.csv:\n    {proposed}"
    if len(serious) > MAX_FINDINGS:
        lines.append(f"{len(serious) - MAX_FINDINGS} more new findings: 'weekahead findings list'.")
    return lines


def _champion(report: "TrainingReport") -> tuple[str, ...]:
    relative = number(champion_figures(report).get("mae_vs_last_price_h5"), ".4f")
    return (
        f"Serving: version {report.champion_version} ({report.champion_kind}); its error at 5 days "
        f"is {relative} of the last price's, out of sample. Its bands ({report.champion_scale}) "
        f"lose {number(_band_loss(report), '.4f')} of what 21-day deviation's do.",
        f"Gate: {report.reason}.",
    )


def _forecast_row(name: str, forecasts: list[Mapping[str, Any]]) -> list[str]:
    ordered = sorted(forecasts, key=lambda forecast: int(forecast["horizon"]))
    last = ordered[-1]
    return [
        name,
        str(last["as_of_date"]),
        price(last["last_close"]),
        *(price(forecast["point"]) for forecast in ordered),
        *(f"{price(last[f'lower_{level}'])}–{price(last[f'upper_{level}'])}" for level in (80, 95)),
    ]
