"""The stages as Prefect flows; each finds its services itself, so any worker can run it."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import Annotated, Any

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.assets import materialize
from prefect.client.schemas.objects import State, TaskRun
from prefect.events import emit_event
from pydantic import Field

from catalog.maintenance import MaintenanceReport
from flows import artifacts, assets, dbt
from flows.alerts import report_stale
from flows.fan_out import executor
from flows.missed import newest_only
from flows.opened import opened
from flows.parameters import (
    BoardParameter,
    Day,
    EndParameter,
    ForceParameter,
    SourceParameter,
    StartParameter,
    SymbolsParameter,
)
from flows.writers import writing
from lakehouse.errors import RetriableError, UsageError
from lakehouse.landing.request import IngestReport, IngestRequest
from lakehouse.models.inference import PredictionReport
from lakehouse.models.scoring import ScoreReport
from lakehouse.models.training import TrainingReport
from lakehouse.platform import Platform
from lakehouse.settings import load_settings
from lakehouse.usecases import USE_CASES
from lakehouse.warehouse.transform import TransformReport

HOUR = 3600.0


@contextmanager
def _platform() -> Iterator[Platform]:
    with writing(), opened(load_settings()) as platform:
        yield platform


def _leave(use_case: str, report: Any) -> None:
    artifacts.leave(use_case, USE_CASES[use_case].describe(report))


def _may_help(_: Any, __: TaskRun, state: State[Any]) -> bool:
    """Retry only if that can help: an unavailable source or lake, or a lost race."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, RetriableError)


@materialize(
    *assets.LAKE,
    name="land quotes",
    retries=2,
    retry_delay_seconds=[10, 60],
    retry_condition_fn=_may_help,
    # Long enough for the whole history of a board, with pauses between requests.
    timeout_seconds=12 * HOUR,
)
def _land(request: IngestRequest) -> IngestReport:
    with _platform() as platform:
        report: IngestReport = USE_CASES["ingest"].run(platform, request)
        report_stale(platform.lake, request.source)
        return report


@flow(name="ingest", description="Quotes and corporate actions from a source into the lake.")
def ingest(
    source: SourceParameter = None,
    symbols: SymbolsParameter = None,
    board: BoardParameter = None,
    start: StartParameter = None,
    end: EndParameter = None,
) -> IngestReport:
    """Load quotes into the lake.

    Args:
        source: sample, moex or yahoo; default: the setting ingest.source.
        symbols: Only these symbols.
        board: A whole board, such as TQBR.
        start: First trading date to fetch.
        end: Last trading date to fetch.

    Returns:
        Counts, failures and findings.
    """
    chosen = source or load_settings().ingest.source
    request = IngestRequest(
        source=chosen,
        symbols=tuple(symbols) if symbols else None,
        board=board,
        start=start,
        end=end,
    )
    report = _land(request)
    _leave("ingest", report)
    return report


@materialize(
    assets.MARTS,
    name="build marts with dbt",
    asset_deps=[*assets.LAKE],
    timeout_seconds=2 * HOUR,
)
def _build(full_refresh: bool, force: bool) -> TransformReport | None:
    with _platform() as platform:
        report: TransformReport | None = USE_CASES["transform"].run(
            platform, full_refresh=full_refresh, force=force, invoke=dbt.invoker()
        )
        return report


@flow(name="transform", description="Marts and features in ClickHouse from the lake, with dbt.")
def transform(
    full_refresh: Annotated[
        bool, Field(title="Full refresh", description="Rebuild everything from scratch.")
    ] = False,
    force: Annotated[
        bool, Field(title="Force", description="Build although nothing has changed.")
    ] = False,
) -> TransformReport | None:
    """Build what has changed.

    Args:
        full_refresh: Rebuild everything from scratch.
        force: Build although nothing has changed.

    Returns:
        What was built; None if the marts are up to date.
    """
    report = _build(full_refresh, force)
    _leave("transform", report)
    return report


@materialize(
    assets.MODEL,
    name="train candidates",
    asset_deps=[assets.MARTS],
    timeout_seconds=6 * HOUR,
)
def _train(force: bool, dry_run: bool) -> TrainingReport:
    with _platform() as platform:
        report: TrainingReport = USE_CASES["train"].run(
            platform, force=force, dry_run=dry_run, execute=executor(platform.settings)
        )
        return report


@flow(name="train", description="Walk-forward validation, registration and the gate.")
@newest_only
def train(
    force: ForceParameter = False,
    dry_run: Annotated[
        bool, Field(title="Dry run", description="Decide, but promote nothing.")
    ] = False,
) -> TrainingReport:
    """Train the candidates and let the gate decide.

    Args:
        force: Train although nothing has changed.
        dry_run: Decide, but promote nothing.

    Returns:
        Figures of all candidates, and the gate's decision.
    """
    report = _train(force, dry_run)
    _leave("train", report)
    _leave_gate(report)
    return report


def _leave_gate(report: TrainingReport) -> None:
    """Store the gate's decision as an artifact, with links to its inputs."""
    import mlflow

    run = f"`{report.run_id}`"
    address = mlflow.get_tracking_uri()
    if report.run_id and address.startswith("http"):
        experiment = mlflow.get_run(report.run_id).info.experiment_id
        run = f"[{report.run_id}]({address}/#/experiments/{experiment}/runs/{report.run_id})"
    snapshots = ", ".join(f"`{name}` {snapshot}" for name, snapshot in report.snapshots.items())
    create_markdown_artifact(
        f"**{report.action}**: {report.reason}\n\nServing: version {report.champion_version} "
        f"({report.champion_kind}, bands of {report.champion_scale}). MLflow run {run}. "
        f"Lake snapshots: {snapshots}",
        key="train-gate",
        description="The registry's gate",
    )


@materialize(
    assets.LEDGER,
    name="forecast",
    asset_deps=[assets.MODEL, assets.MARTS],
    # A year of simulated dates trains many models.
    timeout_seconds=6 * HOUR,
)
def _predict(
    as_of: date | tuple[date, date] | None, symbols: tuple[str, ...] | None, publish: bool
) -> PredictionReport:
    with _platform() as platform:
        report: PredictionReport = USE_CASES["predict"].run(
            platform,
            as_of=as_of,
            symbols=symbols,
            publish=publish,
            execute=executor(platform.settings),
        )
        return report


@flow(name="predict", description="Five-day forecasts with intervals into the ledger.")
def predict(
    as_of: Annotated[
        Day | None,
        Field(title="As of", description="Forecast as of this date; empty: the latest bar."),
    ] = None,
    until: Annotated[
        Day | None,
        Field(title="Until", description="With 'As of': each date from that one to this one."),
    ] = None,
    symbols: SymbolsParameter = None,
    publish: Annotated[
        bool, Field(title="Publish", description="Bring the forecasts into the marts at once.")
    ] = True,
) -> PredictionReport:
    """Forecast with the champion.

    Args:
        as_of: Forecast as of this date; default: the latest bar.
        until: With ``as_of``: each date of this range.
        symbols: Only these symbols.
        publish: Bring the forecasts into the marts at once; otherwise scoring does.

    Returns:
        Counts and the forecasts.
    """
    if until and not as_of:
        raise UsageError("'Until' needs 'As of': the first date of the range.")
    dates = (as_of, until) if as_of and until else as_of
    report = _predict(dates, tuple(symbols) if symbols else None, publish)
    _leave("predict", report)
    return report


@materialize(
    assets.ACCURACY,
    name="score forecasts",
    asset_deps=[assets.LEDGER, assets.MARTS],
    timeout_seconds=2 * HOUR,
)
def _score(strict: bool) -> ScoreReport:
    with _platform() as platform:
        report: ScoreReport = USE_CASES["score"].run(platform, strict=strict)
        return report


@flow(name="score", description="Past forecasts against what happened, and feature drift.")
def score(
    strict: Annotated[
        bool, Field(title="Strict", description="Count warnings as a failure.")
    ] = False,
) -> ScoreReport:
    """Score the ledger.

    Args:
        strict: Let the report count warnings as a failure.

    Returns:
        Realised figures, drift and warnings.
    """
    report = _score(strict)
    _leave("score", report)
    if report.warnings:
        # Automations can act on this event: send an alert, start a training run.
        emit_event(
            "weekahead.score.warning",
            resource={"prefect.resource.id": "weekahead.forecasts"},
            payload={"warnings": list(report.warnings)},
        )
    return report


@task(name="maintain the lake", retries=1, retry_delay_seconds=60, timeout_seconds=2 * HOUR)
def _maintain() -> list[MaintenanceReport]:
    with _platform() as platform:
        reports: list[MaintenanceReport] = USE_CASES["maintain"].run(platform)
        return reports


@flow(name="maintain", description="Compaction, expiry of snapshots, removal of orphan files.")
@newest_only
def maintain() -> list[MaintenanceReport]:
    """Keep the lake small; snapshots that champions were trained on stay."""
    reports = _maintain()
    _leave("maintain", reports)
    return reports
