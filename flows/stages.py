"""The stages as Prefect flows. Each finds its services by itself, so any worker can run it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any

from prefect import flow, task
from prefect.client.schemas.objects import State, TaskRun

from flows import artifacts
from lakehouse import stages
from lakehouse.errors import RetriableError
from lakehouse.forecasting.inference import PredictionReport
from lakehouse.forecasting.scoring import ScoreReport
from lakehouse.forecasting.training import TrainingReport
from lakehouse.landing.request import IngestReport, IngestRequest
from lakehouse.services import running
from lakehouse.settings import Settings, load_settings
from lakehouse.warehouse.transform import TransformReport

log = logging.getLogger("weekahead")
# A library's logger is silent unless somebody lowers its level; progress is meant to be seen.
log.setLevel(logging.INFO)


@contextmanager
def _settings() -> Iterator[Settings]:
    with running(load_settings(), progress=log.info) as settings:
        yield settings


def _may_help(_: Any, __: TaskRun, state: State[Any]) -> bool:
    """Retry only what a retry can mend."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, RetriableError)


@task(name="land quotes", retries=2, retry_delay_seconds=[10, 60], retry_condition_fn=_may_help)
def _land(request: IngestRequest) -> IngestReport:
    with _settings() as settings:
        return stages.ingest(settings, request, log.info)


@flow(name="ingest", description="Quotes and corporate actions from a source into the lake.")
def ingest(
    source: str | None = None,
    symbols: list[str] | None = None,
    board: str | None = None,
    start: date | None = None,
    end: date | None = None,
) -> IngestReport:
    """Bring quotes into the lake.

    Args:
        source: sample, moex or yahoo; default: the setting ingest.source.
        symbols: Only these symbols.
        board: A whole board, such as TQBR.
        start: First trading date to fetch.
        end: Last trading date to fetch.
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
    artifacts.ingested(report)
    return report


@task(name="build marts with dbt")
def _build(full_refresh: bool) -> TransformReport | None:
    with _settings() as settings:
        return stages.transform(settings, log.info, full_refresh=full_refresh)


@flow(name="transform", description="Marts and features in ClickHouse from the lake, with dbt.")
def transform(full_refresh: bool = False) -> TransformReport | None:
    """Build what has changed.

    Args:
        full_refresh: Build everything anew.
    """
    report = _build(full_refresh)
    artifacts.transformed(report)
    return report


@task(name="train candidates")
def _train(force: bool, dry_run: bool) -> TrainingReport:
    with _settings() as settings:
        return stages.train(settings, log.info, force=force, dry_run=dry_run)


@flow(name="train", description="Walk-forward validation, registration and the gate.")
def train(force: bool = False, dry_run: bool = False) -> TrainingReport:
    """Train the candidates and let the gate decide.

    Args:
        force: Train although nothing has changed.
        dry_run: Decide, but promote nothing.
    """
    report = _train(force, dry_run)
    artifacts.trained(report)
    return report


@task(name="forecast")
def _predict(
    as_of: date | tuple[date, date] | None, symbols: tuple[str, ...] | None
) -> PredictionReport:
    with _settings() as settings:
        return stages.predict(settings, log.info, as_of=as_of, symbols=symbols)


@flow(name="predict", description="Five-day forecasts with intervals into the ledger.")
def predict(
    as_of: date | tuple[date, date] | None = None, symbols: list[str] | None = None
) -> PredictionReport:
    """Forecast with the champion.

    Args:
        as_of: Forecast as of this date, or each date of this range; default: the latest bar.
        symbols: Only these symbols.
    """
    report = _predict(as_of, tuple(symbols) if symbols else None)
    artifacts.predicted(report)
    return report


@task(name="score forecasts")
def _score(strict: bool) -> ScoreReport:
    with _settings() as settings:
        return stages.score(settings, log.info, strict=strict)


@flow(name="score", description="Past forecasts against what happened, and feature drift.")
def score(strict: bool = False) -> ScoreReport:
    """Score the ledger.

    Args:
        strict: Let the report count warnings as a failure.
    """
    report = _score(strict)
    artifacts.scored(report)
    return report
