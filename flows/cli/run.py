"""``weekahead run`` and the commands for single stages.

``run`` is a Prefect flow. A single stage is called directly, so it starts at once; the flow of
the same name is for schedules and deployments.
"""

from datetime import date
from typing import Any

import click

from flows.cli import by_worker, options, show


@click.command()
@options.quotes
@click.option("--force", is_flag=True, help="Train although nothing has changed.")
@options.as_json
@by_worker.option("weekahead")
def run(
    source: str | None,
    symbols: tuple[str, ...] | None,
    board: str | None,
    start: date | None,
    end: date | None,
    force: bool,
    machine: bool,
) -> int:
    r"""Run the whole pipeline: ingest, transform, train, predict, score.

    Stages whose inputs have not changed since the last run are skipped.

    \b
      weekahead run
      weekahead run --source yahoo --symbols AAPL,MSFT --start 2015-01-01
      weekahead run --remote                 by the worker of the local stack
    """
    return _as_flow(
        "pipeline",
        machine,
        source=source,
        symbols=list(symbols) if symbols else None,
        board=board,
        start=start,
        end=end,
        force=force,
    )


def _as_flow(name: str, machine: bool, **parameters: Any) -> int:
    """Run a flow in this process, recorded by a Prefect server."""
    from deploy.local import DATA, PREFECT
    from flows.cli.context import services_up
    from lakehouse.results import describe_run
    from lakehouse.usecases import USE_CASES

    with services_up(*DATA, PREFECT):
        # Import late, because Prefect reads its settings on import.
        from flows import pipeline, stages

        flow = pipeline.pipeline if name == "pipeline" else getattr(stages, name)
        report = pipeline.run_here(flow, **parameters)
    describe = describe_run if name == "pipeline" else USE_CASES[name].describe
    return show.result(describe(report), machine=machine)


@click.command()
@options.quotes
@options.as_json
@by_worker.option("ingest")
def ingest(
    source: str | None,
    symbols: tuple[str, ...] | None,
    board: str | None,
    start: date | None,
    end: date | None,
    machine: bool,
) -> int:
    """Bring quotes, splits, dividends and the calendar into the lake.

    The first time everything since the setting ingest.start is fetched, later only what is new and
    a few days before it. --start and --end fetch any range again; a corrected bar replaces the old
    one, which stays readable by time travel.
    """
    from deploy.local import LAKE
    from flows.cli.context import perform
    from lakehouse.landing.request import IngestRequest
    from lakehouse.settings import load_settings

    request = IngestRequest(source or load_settings().ingest.source, symbols, board, start, end)
    return perform("ingest", request, machine=machine, needs=frozenset({LAKE}))


@click.command()
@click.option("--full-refresh", is_flag=True, help="Rebuild everything from scratch.")
@click.option("--force", is_flag=True, help="Build although nothing has changed.")
@options.as_json
@by_worker.option("transform")
def transform(full_refresh: bool, force: bool, machine: bool) -> int:
    """Build the marts and features in ClickHouse with dbt, and test them."""
    from flows.cli.context import perform

    return perform("transform", machine=machine, full_refresh=full_refresh, force=force)


@click.command()
@click.option("--force", is_flag=True, help="Train although nothing has changed.")
@click.option("--dry-run", is_flag=True, help="Decide, but promote nothing.")
@options.as_json
@by_worker.option("train")
def train(force: bool, dry_run: bool, machine: bool) -> int:
    """Validate the candidates, register the best, and let the gate decide what serves.

    Candidates and folds run on threads of this process; with the setting forecast.runner = "dask"
    they run on a Dask cluster: a local one, or the one at forecast.dask_address.
    """
    from flows.cli.context import perform

    if _on_dask():
        return _as_flow("train", machine, force=force, dry_run=dry_run)
    return perform("train", machine=machine, force=force, dry_run=dry_run)


def _on_dask() -> bool:
    from lakehouse.settings import load_settings

    return load_settings().forecast.runner == "dask"


@click.command()
@click.option(
    "--as-of",
    type=options.DatesType(),
    help="Make the forecasts of that date, or of each date of that range, with models trained "
    "only on what was known then; they are marked as simulated.",
)
@click.option("--symbols", type=options.SymbolsType(), help="Only these symbols.")
@options.as_json
@by_worker.option("predict")
def predict(
    as_of: date | tuple[date, date] | None, symbols: tuple[str, ...] | None, machine: bool
) -> int:
    r"""Forecast five trading days ahead and keep the forecasts in the ledger.

    \b
      weekahead predict
      weekahead predict --as-of 2012-06-01..2012-12-31
    """
    from flows.cli.context import perform

    if _on_dask():
        first, last = as_of if isinstance(as_of, tuple) else (as_of, None)
        chosen = list(symbols) if symbols else None
        return _as_flow("predict", machine, as_of=first, until=last, symbols=chosen)
    return perform("predict", machine=machine, as_of=as_of, symbols=symbols)


COMMANDS = (run, ingest, transform, train, predict)
