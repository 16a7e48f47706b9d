"""The whole pipeline as one Prefect flow."""

from collections.abc import Callable
from typing import Any, TypeVar

from prefect import flow
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogHandler

from flows import artifacts, stages
from flows.missed import newest_only
from flows.parameters import (
    BoardParameter,
    EndParameter,
    ForceParameter,
    SourceParameter,
    StartParameter,
    SymbolsParameter,
)
from lakehouse.results import PipelineReport, describe_run

FLUSH_SECONDS = 5
T = TypeVar("T")


@flow(
    name="weekahead",
    description="From quotes to kept forecasts: ingest, transform, train, predict, score.",
)
@newest_only
def pipeline(
    source: SourceParameter = None,
    symbols: SymbolsParameter = None,
    board: BoardParameter = None,
    start: StartParameter = None,
    end: EndParameter = None,
    force: ForceParameter = False,
) -> PipelineReport:
    """Run every stage on the results of the previous one.

    Args:
        source: sample, moex or yahoo; default: the setting ingest.source.
        symbols: Only these symbols.
        board: A whole board, such as TQBR.
        start: First trading date to fetch.
        end: Last trading date to fetch.
        force: Train although nothing has changed.

    Returns:
        What each stage did.
    """
    ingested = stages.ingest(source, symbols, board, start, end)
    transformed = stages.transform()
    trained = stages.train(force=force)
    # Scoring brings the new forecasts and the gate's decision into the marts.
    predicted = stages.predict(publish=False)
    scored = stages.score()
    report = PipelineReport(ingested, transformed, trained, predicted, scored)
    artifacts.leave("weekahead", describe_run(report))
    return report


def run_here(wanted: Callable[..., T], **parameters: Any) -> T:
    """Run a flow in this process, and flush its logs before the server may stop.

    Args:
        wanted: The flow.
        **parameters: Parameters of the flow.

    Returns:
        The flow's result.
    """
    try:
        return wanted(**parameters)
    finally:
        APILogHandler().flush()
        EventsWorker.drain_all(timeout=FLUSH_SECONDS)
