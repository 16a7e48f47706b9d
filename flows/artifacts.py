"""What a run leaves in Prefect's UI for people to read."""

from collections.abc import Sequence
from typing import Any

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from lakehouse.forecasting.inference import PredictionReport
from lakehouse.forecasting.scoring import ScoreReport
from lakehouse.forecasting.training import TrainingReport
from lakehouse.landing.request import IngestReport
from lakehouse.warehouse.transform import TransformReport

MAX_ROWS = 100


def ingested(report: IngestReport) -> None:
    """What was loaded, corrected and rejected, and what failed."""
    _table(
        "ingest-symbols",
        [
            {
                "symbol": symbol,
                "new": counts.new,
                "corrected": counts.corrected,
                "unchanged": counts.unchanged,
                "rejected": counts.rejected,
                "flagged": counts.flagged,
            }
            for symbol, counts in report.symbols.items()
        ],
        f"Quotes from {report.source}: {report.requests} requests, {report.seconds:.1f} s.",
    )
    if report.failed or report.warnings:
        lines = [f"- **{name}**: {reason}" for name, reason in report.failed.items()]
        lines += [f"- {warning}" for warning in report.warnings]
        create_markdown_artifact("\n".join(lines), key="ingest-problems", description="To look at")


def transformed(report: TransformReport | None) -> None:
    """What dbt built."""
    if report is None:
        create_markdown_artifact(
            "Nothing changed in the lake since the last build.", key="transform-marts"
        )
        return
    nodes = ", ".join(f"{count} {status}" for status, count in report.nodes.items())
    _table(
        "transform-marts",
        [{"mart": name, "rows": rows} for name, rows in report.rows.items()],
        f"dbt: {nodes} in {report.seconds:.1f} s.",
    )
    if report.warnings:
        lines = "\n".join(f"- {warning}" for warning in report.warnings)
        create_markdown_artifact(lines, key="transform-warnings", description="dbt's warnings")


def trained(report: TrainingReport) -> None:
    """The candidates' figures, and the gate's decision with its reason."""
    _table(
        "train-candidates",
        [
            {
                "candidate": candidate.kind,
                **{
                    name: _round(candidate.figures.get(f"{name}_h5"))
                    for name in (
                        "mae_vs_last_price",
                        "mae_vs_drift",
                        "hit_rate",
                        "rank_ic",
                        "coverage_80",
                        "coverage_95",
                    )
                },
            }
            for candidate in report.candidates
        ],
        "Walk-forward, out of sample, five trading days ahead.",
    )
    create_markdown_artifact(
        f"**{report.action}**: {report.reason}\n\n"
        f"Serving: version {report.champion_version} ({report.champion_kind}). "
        f"MLflow run `{report.run_id}`. Lake snapshots: "
        + ", ".join(f"`{name}` {snapshot}" for name, snapshot in report.snapshots.items()),
        key="train-gate",
        description="The registry's gate",
    )


def predicted(report: PredictionReport) -> None:
    """The latest forecasts."""
    _table(
        "predict-forecasts",
        [
            {
                "symbol": row["symbol"],
                "as of": str(row["as_of_date"]),
                "target": str(row["target_date"]),
                "last close": _round(row["last_close"]),
                "forecast": _round(row["point"]),
                "80 %": f"{row['lower_80']:.2f} – {row['upper_80']:.2f}",
                "95 %": f"{row['lower_95']:.2f} – {row['upper_95']:.2f}",
            }
            for row in report.latest
        ],
        f"Version {report.model_version} ({report.model_kind}); {report.new} of "
        f"{report.forecasts} forecasts are new in the ledger.",
    )


def scored(report: ScoreReport) -> None:
    """Realised figures, and what is outside its limits."""
    _table(
        "score-realised",
        [
            {
                "version": row.version,
                "simulated": row.simulated,
                "days ahead": row.horizon,
                "dates": row.dates,
                "MAE/last price": _round(row.relative_mae_last_price),
                "MAE/drift": _round(row.relative_mae_drift),
                "80 % covers": _round(row.coverage_80),
                "95 % covers": _round(row.coverage_95),
            }
            for row in report.performance
        ],
        f"{report.scored} forecasts have come due. {len(report.drifted)} of {len(report.drift)} "
        "features drifted.",
    )
    if report.warnings:
        lines = "\n".join(f"- {warning}" for warning in report.warnings)
        create_markdown_artifact(lines, key="score-warnings", description="Outside the limits")


def _table(key: str, rows: Sequence[dict[str, Any]], description: str) -> None:
    if len(rows) > MAX_ROWS:
        description += f" The first {MAX_ROWS} of {len(rows)} rows."
    create_table_artifact(list(rows[:MAX_ROWS]), key=key, description=description)


def _round(value: float | None) -> float | None:
    return None if value is None else round(float(value), 4)
