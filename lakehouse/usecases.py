"""One function for each stage of the pipeline; the command line and the flows call these.

A stage does not do again what has not changed, so each may be repeated at any time.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import date
from typing import TYPE_CHECKING, Any

from lakehouse.settings import Settings

if TYPE_CHECKING:
    from catalog.maintenance import MaintenanceReport
    from lakehouse.forecasting.inference import PredictionReport
    from lakehouse.forecasting.scoring import ScoreReport
    from lakehouse.forecasting.training import TrainingReport
    from lakehouse.landing.request import IngestReport, IngestRequest
    from lakehouse.warehouse.runner import Invoke
    from lakehouse.warehouse.transform import TransformReport

Progress = Callable[[str], None]


def ingest(settings: Settings, request: "IngestRequest", progress: Progress) -> "IngestReport":
    """Bring quotes and corporate actions from a source into the lake."""
    from lakehouse.landing.ingest import ingest as land

    return land(settings, request, progress=progress)


def transform(
    settings: Settings,
    progress: Progress,
    *,
    full_refresh: bool = False,
    force: bool = False,
    invoke: "Invoke | None" = None,
) -> "TransformReport | None":
    """Build the marts from the lake; None when they are up to date.

    When only the ledger has changed, only what follows from it is built.
    """
    from lakehouse.warehouse.transform import refresh

    report = refresh(
        settings, full_refresh=full_refresh, force=force, progress=progress, invoke=invoke
    )
    if report is None:
        progress("transform: nothing changed in the lake since the last build")
    return report


def train(
    settings: Settings,
    progress: Progress,
    *,
    force: bool = False,
    dry_run: bool = False,
    execute: Callable[..., list[Any]] | None = None,
) -> "TrainingReport":
    """Validate the candidates, register the best, and let the gate decide what serves."""
    from lakehouse.forecasting.training import train as fit

    with _alone(settings, "train", progress):
        return fit(settings, force=force, dry_run=dry_run, execute=execute, progress=progress)


def predict(
    settings: Settings,
    progress: Progress,
    *,
    as_of: date | tuple[date, date] | None = None,
    symbols: tuple[str, ...] | None = None,
    execute: Callable[..., list[Any]] | None = None,
) -> "PredictionReport":
    """Forecast every symbol from its latest bar and keep the forecasts in the ledger."""
    from lakehouse.forecasting.inference import predict as forecast

    # A back-fill trains, too.
    turn = _alone(settings, "train", progress) if as_of else nullcontext()
    with turn:
        return forecast(settings, as_of=as_of, symbols=symbols, execute=execute, progress=progress)


def score(settings: Settings, progress: Progress, *, strict: bool = False) -> "ScoreReport":
    """Compare past forecasts with what happened, and measure the champion's feature drift."""
    from lakehouse.forecasting.scoring import score as compare

    with _alone(settings, "score", progress):
        return compare(settings, strict=strict, progress=progress)


def maintain(settings: Settings, progress: Progress) -> "list[MaintenanceReport]":
    """Compact, expire and clean every table of the lake, within the settings maintenance.*."""
    from datetime import timedelta

    from catalog.connect import ensure_tables, open_catalog
    from catalog.maintenance import maintain as clean
    from catalog.tables import TABLES
    from lakehouse.forecasting.retention import release_snapshots

    catalog = open_catalog(settings.catalog, settings.s3)
    ensure_tables(catalog)
    limits = settings.maintenance
    # A version that is being trained does not serve yet.
    with _alone(settings, "train", progress):
        release_snapshots(settings, progress=progress)
    reports = []
    for definition in TABLES:
        progress(f"maintain {definition.name}")
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


@contextmanager
def _alone(settings: Settings, stage: str, progress: Progress) -> Iterator[None]:
    """Let one command at a time do this stage, on this home."""
    from deploy.local.stack import exclusive

    def waiting() -> None:
        progress(f"{stage}: another weekahead command is at it; waiting")

    with exclusive(settings.home.absolute() / "run" / f"{stage}.lock", waiting=waiting):
        yield
