"""One function for each stage of the pipeline; the command line and the flows call these.

A stage does not do again what has not changed, so each may be repeated at any time.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from typing import TYPE_CHECKING, Any

from lakehouse.settings import Settings

if TYPE_CHECKING:
    from lakehouse.forecasting.inference import PredictionReport
    from lakehouse.forecasting.scoring import ScoreReport
    from lakehouse.forecasting.training import TrainingReport
    from lakehouse.landing.request import IngestReport, IngestRequest
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
) -> "TransformReport | None":
    """Build the marts from the lake; None when they are up to date.

    When only the ledger has changed, only what follows from it is built.
    """
    from catalog.connect import open_catalog
    from catalog.snapshots import current_snapshots
    from lakehouse.warehouse.transform import LEDGER, changed_sources
    from lakehouse.warehouse.transform import transform as build

    with _alone(settings, "transform", progress):
        snapshots = current_snapshots(open_catalog(settings.catalog, settings.s3))
        changed = changed_sources(settings, snapshots)
        everything = force or full_refresh
        if not changed and not everything:
            progress("transform: nothing changed in the lake since the last build")
            return None
        only_ledger = all(name.startswith("ml.") for name in changed)
        return build(
            settings,
            select=LEDGER if only_ledger and not everything else None,
            full_refresh=full_refresh,
            snapshots=snapshots,
            progress=progress,
        )


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
) -> "PredictionReport":
    """Forecast every symbol from its latest bar and keep the forecasts in the ledger."""
    from lakehouse.forecasting.inference import predict as forecast

    return forecast(settings, as_of=as_of, symbols=symbols, progress=progress)


def score(settings: Settings, progress: Progress, *, strict: bool = False) -> "ScoreReport":
    """Compare past forecasts with what happened, and measure the champion's feature drift."""
    from lakehouse.forecasting.scoring import score as compare

    # Scoring brings the accuracy marts up to date, and two builds exclude each other.
    with _alone(settings, "transform", progress):
        return compare(settings, strict=strict, progress=progress)


@contextmanager
def _alone(settings: Settings, stage: str, progress: Progress) -> Iterator[None]:
    """Let one command at a time do this stage, on this home."""
    from lakehouse.services.stack import exclusive

    def waiting() -> None:
        progress(f"{stage}: another weekahead command is at it; waiting")

    with exclusive(settings.home.absolute() / "run" / f"{stage}.lock", waiting=waiting):
        yield
