"""What people can do with the platform: one row for each, which commands and flows both call.

A use case does not do again what has not changed, so each may be repeated at any time.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from lakehouse import results
from lakehouse.locks import exclusive
from lakehouse.results import Result
from lakehouse.settings import Settings

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


def ingest(settings: Settings, request: "IngestRequest") -> "IngestReport":
    """Bring quotes and corporate actions from a source into the lake."""
    from lakehouse.landing.ingest import ingest as land

    return land(settings, request)


def transform(
    settings: Settings,
    *,
    full_refresh: bool = False,
    force: bool = False,
    invoke: "Invoke | None" = None,
) -> "TransformReport | None":
    """Build the marts from the lake; None when they are up to date.

    When only the ledger has changed, only what follows from it is built.

    Args:
        settings: Where everything is.
        full_refresh: Build the incremental models from scratch.
        force: Build although nothing has changed.
        invoke: Calls dbt; by default its own runner, in this process.
    """
    from lakehouse.warehouse.transform import refresh

    report = refresh(settings, full_refresh=full_refresh, force=force, invoke=invoke)
    if report is None:
        log.info("transform: nothing changed in the lake since the last build")
    return report


def train(
    settings: Settings,
    *,
    force: bool = False,
    dry_run: bool = False,
    execute: Execute | None = None,
) -> "TrainingReport":
    """Validate the candidates, register the best, and let the gate decide what serves.

    Args:
        settings: Where everything is.
        force: Train although nothing has changed.
        dry_run: Decide, but promote nothing.
        execute: Maps a function over tasks; by default on threads of this process.
    """
    from lakehouse.models.training import train as fit

    _renew_marts(settings)
    with _alone(settings, "train"):
        return fit(settings, force=force, dry_run=dry_run, execute=execute)


def predict(
    settings: Settings,
    *,
    as_of: date | tuple[date, date] | None = None,
    symbols: tuple[str, ...] | None = None,
    publish: bool = True,
    execute: Execute | None = None,
) -> "PredictionReport":
    """Forecast every symbol from its latest bar and keep the forecasts in the ledger.

    Args:
        settings: Where everything is.
        as_of: Make the forecasts of that date, or of each date of that range, instead.
        symbols: Only these.
        publish: Bring the forecasts into the marts at once; scoring does that, too.
        execute: Maps a function over tasks; by default on threads of this process.
    """
    from lakehouse.models.backfill import backfill
    from lakehouse.models.inference import predict as forecast

    _renew_marts(settings)
    if as_of:
        first, last = as_of if isinstance(as_of, tuple) else (as_of, as_of)
        # A back-fill trains, too.
        with _alone(settings, "train"):
            report = backfill(settings, first, last, symbols=symbols, execute=execute)
    else:
        report = forecast(settings, symbols=symbols)
    if publish:
        transform(settings)
    return report


def score(settings: Settings, *, strict: bool = False) -> "ScoreReport":
    """Compare past forecasts with what happened, and measure the champion's feature drift."""
    from lakehouse.models.scoring import score as compare

    _renew_marts(settings)
    with _alone(settings, "score"):
        return compare(settings, strict=strict)


def maintain(settings: Settings) -> "list[MaintenanceReport]":
    """Compact, expire and clean every table of the lake, within the settings maintenance.*."""
    from catalog.connect import ensure_tables, open_catalog
    from catalog.maintenance import maintain as clean
    from catalog.tables import TABLES
    from lakehouse.models.retention import release_snapshots

    catalog = open_catalog(settings.catalog, settings.s3)
    ensure_tables(catalog)
    limits = settings.maintenance
    # A version that is being trained does not serve yet.
    with _alone(settings, "train"):
        release_snapshots(settings)
    reports = []
    for definition in TABLES:
        log.info("maintain %s", definition.name)
        reports.append(
            clean(
                catalog,
                settings.s3,
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
        run: Takes the settings with running services, and the use case's own parameters.
        describe: Says what its report means.
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


def _renew_marts(settings: Settings) -> None:
    """Build the marts again if another version of this program has built them."""
    from lakehouse.warehouse.transform import is_of_another_version

    if is_of_another_version(settings):
        log.info("the marts were built by another version: building them again")
        transform(settings)


@contextmanager
def _alone(settings: Settings, stage: str) -> Iterator[None]:
    """Let one command at a time do this stage, on this home."""

    def waiting() -> None:
        log.info("%s: waiting for another weekahead command that does the same", stage)

    with exclusive(settings.home.absolute() / "run" / f"{stage}.lock", waiting=waiting):
        yield
