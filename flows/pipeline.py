"""The whole pipeline as one Prefect flow."""

from dataclasses import dataclass
from datetime import date
from typing import Any

from prefect import flow
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogHandler

from flows import stages
from lakehouse.forecasting.inference import PredictionReport
from lakehouse.forecasting.scoring import ScoreReport
from lakehouse.forecasting.training import TrainingReport
from lakehouse.landing.request import IngestReport
from lakehouse.warehouse.transform import TransformReport

FLUSH_SECONDS = 5


@dataclass(frozen=True)
class PipelineReport:
    """What each stage did; None where there was nothing to do."""

    ingested: IngestReport
    transformed: TransformReport | None
    trained: TrainingReport
    predicted: PredictionReport
    scored: ScoreReport

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "ingest": self.ingested.to_dict(),
            "transform": self.transformed.to_dict() if self.transformed else None,
            "train": self.trained.to_dict(),
            "predict": self.predicted.to_dict(),
            "score": self.scored.to_dict(),
            "exit_code": self.ingested.exit_code,
        }


@flow(
    name="weekahead",
    description="From quotes to kept forecasts: ingest, transform, train, predict, score.",
)
def pipeline(
    source: str | None = None,
    symbols: list[str] | None = None,
    board: str | None = None,
    start: date | None = None,
    end: date | None = None,
    force: bool = False,
) -> PipelineReport:
    """Run every stage, each on what the one before has made.

    Args:
        source: sample, moex or yahoo; default: the setting ingest.source.
        symbols: Only these symbols.
        board: A whole board, such as TQBR.
        start: First trading date to fetch.
        end: Last trading date to fetch.
        force: Train although nothing has changed.
    """
    ingested = stages.ingest(source, symbols, board, start, end)
    transformed = stages.transform()
    trained = stages.train(force=force)
    predicted = stages.predict()
    # Scoring also brings the new forecasts and the gate's decision into the marts.
    scored = stages.score()
    return PipelineReport(ingested, transformed, trained, predicted, scored)


def run_here(**parameters: Any) -> PipelineReport:
    """Run the pipeline in this process, and deliver its logs before the server may go away."""
    try:
        report: PipelineReport = pipeline(**parameters)
        return report
    finally:
        APILogHandler().flush()
        EventsWorker.drain_all(timeout=FLUSH_SECONDS)
