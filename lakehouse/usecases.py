"""The use cases of the platform in one table, which commands and flows share.

A use case skips work whose inputs have not changed, so each can be repeated at any time.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from lakehouse import results
from lakehouse.platform import Platform
from lakehouse.results import Result

if TYPE_CHECKING:
    from catalog.maintenance import MaintenanceReport
    from lakehouse.landing.request import IngestReport, IngestRequest
    from lakehouse.models.inference import PredictionReport
    from lakehouse.models.scoring import ScoreReport
    from lakehouse.models.training import TrainingReport
    from lakehouse.warehouse.runner import Invoke
    from lakehouse.warehouse.transform import TransformReport

log = logging.getLogger("weekahead")
Execute = Callable[..., list[Any]]


def ingest(platform: Platform, request: "IngestRequest") -> "IngestReport":
    """Load quotes and corporate actions from a source into the lake.

    Args:
        platform: The lake; its settings give sources and limits.
        request: What to fetch.

    Returns:
        Counts, failures and findings.

    Raises:
        UsageError: The request contradicts itself or names an unknown source.
        SourceUnavailable: The quote API does not answer or refuses.
        DataError: Nothing usable was read.
    """
    from lakehouse.landing.ingest import ingest as land

    return land(platform, request)


def transform(
    platform: Platform,
    *,
    full_refresh: bool = False,
    force: bool = False,
    invoke: "Invoke | None" = None,
) -> "TransformReport | None":
    """Build the marts from the lake; None if they are up to date.

    If only the ledger has changed, only the models that depend on it are built.

    Args:
        platform: Lake, warehouse and models.
        full_refresh: Rebuild the incremental models from scratch.
        force: Build although nothing has changed.
        invoke: Calls dbt; by default its own runner, in this process.

    Returns:
        What was built; None if the marts are up to date.

    Raises:
        TransformError: A model or test failed.
        ServiceError: ClickHouse does not answer.
        CatalogUnavailable: The catalog does not answer.
    """
    from lakehouse.warehouse.transform import refresh

    report = refresh(platform, full_refresh=full_refresh, force=force, invoke=invoke)
    if report is None:
        log.info("transform: nothing changed in the lake since the last build")
    return report


def train(
    platform: Platform,
    *,
    force: bool = False,
    dry_run: bool = False,
    execute: Execute | None = None,
) -> "TrainingReport":
    """Validate the candidates, register the best, and let the gate decide which serves.

    Args:
        platform: Lake, warehouse and models, and how to train.
        force: Train although nothing has changed.
        dry_run: Decide, but promote nothing.
        execute: Maps a function over tasks; by default on threads of this process.

    Returns:
        Figures of all candidates, and the gate's decision.

    Raises:
        NotEnoughData: The marts are missing, or the history is too short.
        ServiceError: ClickHouse or MLflow does not answer.
    """
    from lakehouse.models.training import train as fit

    _renew_marts(platform)
    with platform.alone("train"):
        return fit(platform, force=force, dry_run=dry_run, execute=execute)


def predict(
    platform: Platform,
    *,
    as_of: date | tuple[date, date] | None = None,
    symbols: tuple[str, ...] | None = None,
    publish: bool = True,
    execute: Execute | None = None,
) -> "PredictionReport":
    """Forecast every symbol from its latest bar, and store the forecasts in the ledger.

    Args:
        platform: Lake, warehouse and models.
        as_of: Forecast as of this date, or of each date in this inclusive range, instead.
        symbols: Forecast only these; None forecasts all.
        publish: Bring the forecasts into the marts at once; otherwise scoring does.
        execute: Maps a function over tasks; by default on threads of this process.

    Returns:
        Counts and the forecasts.

    Raises:
        UsageError: No model serves yet, or the range is reversed.
        UnknownSymbol: A symbol has no features.
        NotEnoughData: There is nothing to forecast from.
    """
    from lakehouse.models.backfill import backfill
    from lakehouse.models.inference import predict as forecast

    _renew_marts(platform)
    if as_of:
        first, last = as_of if isinstance(as_of, tuple) else (as_of, as_of)
        # A back-fill trains too.
        with platform.alone("train"):
            report = backfill(platform, first, last, symbols=symbols, execute=execute)
    else:
        report = forecast(platform, symbols=symbols)
    if publish:
        transform(platform)
    return report


def score(platform: Platform, *, strict: bool = False) -> "ScoreReport":
    """Compare past forecasts with outcomes, and measure the champion's feature drift.

    Args:
        platform: Lake, warehouse and models, and limits.
        strict: Make the exit code 1 if there are warnings.

    Returns:
        Realised figures, drift and warnings.

    Raises:
        UsageError: No model serves yet.
        NotEnoughData: The marts were never built.
    """
    from lakehouse.models.scoring import score as compare

    _renew_marts(platform)
    with platform.alone("score"):
        return compare(platform, strict=strict)


def maintain(platform: Platform) -> "list[MaintenanceReport]":
    """Compact tables, expire snapshots and delete orphans; the settings maintenance.* say when."""
    from catalog.connect import ensure_tables
    from catalog.maintenance import maintain as clean
    from catalog.tables import TABLES
    from lakehouse.models.retention import release_snapshots

    ensure_tables(platform.lake)
    limits = platform.settings.maintenance
    # A version that is being registered must not lose its snapshots before it is promoted.
    with platform.alone("train"):
        release_snapshots(platform)
    reports = []
    for definition in TABLES:
        log.info("maintain %s", definition.name)
        reports.append(
            clean(
                platform.lake,
                platform.settings.s3,
                definition,
                keep=timedelta(days=limits.keep_days),
                orphan_age=timedelta(hours=limits.orphan_age_hours),
                small_files=limits.small_files,
            )
        )
    return reports


@dataclass(frozen=True)
class UseCase:
    """A row of the table.

    Attributes:
        run: Takes the platform, and the use case's own parameters.
        describe: Turns the report into a result for people.
    """

    run: Callable[..., Any]
    describe: Callable[[Any], Result]


USE_CASES = {
    "ingest": UseCase(ingest, results.describe_ingest),
    "transform": UseCase(transform, results.describe_transform),
    "train": UseCase(train, results.describe_training),
    "predict": UseCase(predict, results.describe_forecasts),
    "score": UseCase(score, results.describe_score),
    "maintain": UseCase(maintain, results.describe_maintenance),
}


def _renew_marts(platform: Platform) -> None:
    """Rebuild the marts if another version of this program built them."""
    from lakehouse.warehouse.transform import is_of_another_version

    if is_of_another_version(platform):
        log.info("the marts were built by another version: rebuilding them")
        transform(platform)
