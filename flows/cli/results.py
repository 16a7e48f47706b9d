"""Results as tables for people, and as plain values for machines."""

from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flows.cli import show

if TYPE_CHECKING:
    from flows.pipeline import PipelineReport
    from lakehouse.forecasting.inference import PredictionReport
    from lakehouse.forecasting.scoring import ScoreReport
    from lakehouse.forecasting.training import TrainingReport
    from lakehouse.landing.request import IngestReport
    from lakehouse.warehouse.transform import TransformReport

MAX_ROWS = 25
COUNTS = ("new", "corrected", "unchanged", "rejected", "flagged")


def show_run(report: "PipelineReport") -> None:
    """The forecasts, what they are worth, and where to look further."""
    show_landed_line(report.ingested)
    show_champion(report.trained)
    show_forecasts(report.predicted)
    for warning in report.scored.warnings:
        show.warning(warning)
    show.line()
    show.line("[bold]Look further[/bold]")
    show.line(
        '  weekahead sql "select * from ml.forecasts"          the ledger, in the lake (DuckDB)'
    )
    show.line('  weekahead sql --engine clickhouse "show tables from marts"')
    show.line("  weekahead report                                    one HTML file with charts")
    show.line("  weekahead predict --as-of 2012-06-01..2012-12-31    forecasts as made back then")


def show_landed_line(report: "IngestReport") -> None:
    """One line about the ingest, and its warnings and failures."""
    counts = report.tables.get("raw.quotes")
    if counts:
        told = ", ".join(
            f"{getattr(counts, name):,} {name}" for name in COUNTS if getattr(counts, name)
        )
        show.line(f"Quotes from {report.source}: {told}.")
    _show_problems(report)


def show_ingest(report: "IngestReport") -> None:
    """Counts by table and symbol, and what failed."""
    show.table(
        f"Landed from {report.source} ({report.requests} requests, {report.seconds:.1f} s)",
        ["", *COUNTS],
        [(name, *_counts(counts)) for name, counts in report.tables.items()],
    )
    symbols = list(report.symbols.items())
    if symbols:
        show.table(
            "Quotes by symbol",
            ["", *COUNTS],
            [(name, *_counts(counts)) for name, counts in symbols[:MAX_ROWS]],
        )
    if len(symbols) > MAX_ROWS:
        show.line(f"… and {len(symbols) - MAX_ROWS} more symbols; --json lists all.")
    _show_problems(report)


def _counts(counts: Any) -> tuple[str, ...]:
    return tuple(f"{getattr(counts, name):,}" for name in COUNTS)


def _show_problems(report: "IngestReport") -> None:
    for warning in report.warnings:
        show.warning(warning)
    for name, reason in report.failed.items():
        show.error(f"{name}: {reason}")
    if report.failed:
        show.line("What failed is read again by the next ingest.")


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


def show_training(report: "TrainingReport") -> None:
    """The validation scheme, every candidate's figures, the gate's decision, and what serves."""
    if report.scheme:
        show.table(
            "Validation: train on the past, leave a gap, test; the gate decides on the last window",
            ["fold", "train from", "to", "rows", "gap days", "test from", "to", "rows"],
            [
                tuple(
                    str(row[name])
                    for name in (
                        "fold",
                        "train_start",
                        "train_end",
                        "train_rows",
                        "gap_days",
                        "test_start",
                        "test_end",
                        "test_rows",
                    )
                )
                for row in report.scheme
            ],
        )
    show.table(
        "Walk-forward, out of sample, 5 trading days ahead (below 1 beats last price, or drift)",
        ["candidate", "MAE/last", "MAE/drift", "hit rate", "always up", "rank IC", "80 %", "95 %"],
        [
            (
                candidate.kind,
                *(
                    _number(candidate.figures.get(f"{name}_h5"), style)
                    for name, style in (
                        ("mae_vs_last_price", ".4f"),
                        ("mae_vs_drift", ".4f"),
                        ("hit_rate", ".1%"),
                        ("always_up", ".1%"),
                        ("rank_ic", "+.3f"),
                        ("coverage_80", ".1%"),
                        ("coverage_95", ".1%"),
                    )
                ),
            )
            for candidate in report.candidates
        ],
    )
    show.line(f"Gate: {report.reason}.")
    if report.champion_version:
        show.line(f"Serving: version {report.champion_version} ({report.champion_kind}).")


def show_champion(report: "TrainingReport") -> None:
    """What serves, and how it compares with the last price."""
    figures = champion_figures(report)
    relative = _number(figures.get("mae_vs_last_price_h5"), ".4f")
    show.line(
        f"Serving: version {report.champion_version} ({report.champion_kind}); its error at 5 days "
        f"is {relative} of the last price's, out of sample."
    )
    show.line(f"Gate: {report.reason}.")


def champion_figures(report: "TrainingReport") -> Mapping[str, float]:
    """Walk-forward figures of what serves; empty when they are unknown."""
    for candidate in report.candidates:
        if candidate.kind == report.champion_kind:
            return candidate.figures
    return {}


def show_forecasts(report: "PredictionReport") -> None:
    """Each symbol's five days, with the intervals of the last one."""
    by_symbol: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for forecast in report.latest:
        by_symbol[str(forecast["source"]), str(forecast["symbol"])].append(forecast)
    rows = [_forecast_row(forecasts) for _, forecasts in sorted(by_symbol.items())]
    horizons = max((len(forecasts) for forecasts in by_symbol.values()), default=0)
    days = [f"+{number}" for number in range(1, horizons + 1)]
    show.table(
        f"Forecast closes by {report.model_kind} (version {report.model_version}), days ahead",
        ["symbol", "as of", "last", *days, f"80 % at +{horizons}", f"95 % at +{horizons}"],
        rows[:MAX_ROWS],
        left=2,
    )
    if len(rows) > MAX_ROWS:
        show.line(f"… and {len(rows) - MAX_ROWS} more symbols; they are in ml.forecasts.")
    show.line(f"{report.new} of {report.forecasts} forecasts are new in the ledger.")
    if report.unseen:
        show.warning(
            f"Not forecast, because version {report.model_version} was not trained on it: "
            f"{', '.join(report.unseen)}. Run 'weekahead train'."
        )
    if report.stale:
        show.warning(f"Too old to forecast from: {', '.join(report.stale)}.")


def show_score(report: "ScoreReport") -> None:
    """Realised figures by version and horizon."""
    if not report.performance:
        show.line("No forecast has come due yet; simulate some: weekahead predict --as-of A..B")
    else:
        show.table(
            "Realised: errors below 1 beat the last price, or drift",
            [
                "version",
                "days ahead",
                "dates",
                "MAE/last",
                "MAE/drift",
                "hit rate",
                "up",
                "80 %",
                "95 %",
            ],
            [
                (
                    f"{row.version}{' (simulated)' if row.simulated else ''}",
                    row.horizon,
                    row.dates,
                    _number(row.relative_mae_last_price, ".4f"),
                    _number(row.relative_mae_drift, ".4f"),
                    _number(row.hit_rate, ".1%"),
                    _number(row.up_share, ".1%"),
                    _number(row.coverage_80, ".1%"),
                    _number(row.coverage_95, ".1%"),
                )
                for row in report.performance
            ],
        )
    show.line(f"Feature drift: {len(report.drifted)} of {len(report.drift)} features.")
    for warning in report.warnings:
        show.warning(warning)


def _forecast_row(forecasts: list[Mapping[str, Any]]) -> list[str]:
    ordered = sorted(forecasts, key=lambda forecast: int(forecast["horizon"]))
    last = ordered[-1]
    return [
        str(last["symbol"]),
        str(last["as_of_date"]),
        f"{last['last_close']:.2f}",
        *(f"{forecast['point']:.2f}" for forecast in ordered),
        *(f"{last[f'lower_{level}']:.2f}–{last[f'upper_{level}']:.2f}" for level in (80, 95)),
    ]


def _number(value: float | None, style: str) -> str:
    return "" if value is None or value != value else format(value, style)
