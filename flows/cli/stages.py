"""``weekahead run`` and the commands for single stages.

``run`` is a Prefect flow. A single stage is called directly, so it starts at once; the flow of
the same name is for schedules and deployments.
"""

from datetime import date

import click

from flows.cli import options, remote, show


@click.command()
@options.quotes
@click.option("--force", is_flag=True, help="Train although nothing has changed.")
@options.as_json
@remote.option("weekahead")
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

    What has not changed since the last run is not done again.

    \b
      weekahead run
      weekahead run --source yahoo --symbols AAPL,MSFT --start 2015-01-01
      weekahead run --remote                 by the worker of the local stack
    """
    from deploy.local import DATA, PREFECT
    from flows.cli.context import services_up
    from flows.cli.results import show_run

    with services_up(*DATA, PREFECT):
        from flows.pipeline import pipeline, run_here

        show.log_to_terminal()
        report = run_here(
            pipeline,
            source=source,
            symbols=list(symbols) if symbols else None,
            board=board,
            start=start,
            end=end,
            force=force,
        )
    if machine:
        show.as_json(report.to_dict())
    else:
        show_run(report)
    return report.ingested.exit_code


@click.command()
@options.quotes
@options.as_json
@remote.option("ingest")
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
    from flows.cli.context import services_up
    from flows.cli.results import show_ingest
    from lakehouse import usecases
    from lakehouse.landing.request import IngestRequest

    with services_up(LAKE) as settings:
        request = IngestRequest(source or settings.ingest.source, symbols, board, start, end)
        report = usecases.ingest(settings, request, show.progress)
    if machine:
        show.as_json(report.to_dict())
    else:
        show_ingest(report)
    return report.exit_code


@click.command()
@click.option("--full-refresh", is_flag=True, help="Build everything anew.")
@click.option("--force", is_flag=True, help="Build although nothing has changed.")
@options.as_json
@remote.option("transform")
def transform(full_refresh: bool, force: bool, machine: bool) -> None:
    """Build the marts and features in ClickHouse with dbt, and test them."""
    from flows.cli.context import services_up
    from flows.cli.results import show_transform
    from lakehouse import usecases

    with services_up() as settings:
        report = usecases.transform(settings, show.progress, full_refresh=full_refresh, force=force)
    if machine:
        show.as_json(report.to_dict() if report else {"skipped": True})
    else:
        show_transform(report)


@click.command()
@click.option("--force", is_flag=True, help="Train although nothing has changed.")
@click.option("--dry-run", is_flag=True, help="Decide, but promote nothing.")
@options.as_json
@remote.option("train")
def train(force: bool, dry_run: bool, machine: bool) -> None:
    """Validate the candidates, register the best, and let the gate decide what serves.

    Candidates and folds run on threads of this process; with the setting forecast.runner = "dask"
    they run on a Dask cluster: a local one, or the one at forecast.dask_address.
    """
    from deploy.local import DATA, PREFECT
    from flows.cli.context import services_up
    from flows.cli.results import show_training
    from lakehouse.settings import load_settings

    if load_settings().forecast.runner == "dask":
        with services_up(*DATA, PREFECT):
            from flows import stages as flows
            from flows.pipeline import run_here

            show.log_to_terminal()
            report = run_here(flows.train, force=force, dry_run=dry_run)
    else:
        from lakehouse import usecases

        with services_up() as settings:
            report = usecases.train(settings, show.progress, force=force, dry_run=dry_run)
    if machine:
        show.as_json(report.to_dict())
    else:
        show_training(report)


@click.command()
@click.option(
    "--as-of",
    type=options.DatesType(),
    help="Make the forecasts of that date, or of each date of that range, with models trained "
    "only on what was known then; they are marked as simulated.",
)
@click.option("--symbols", type=options.SymbolsType(), help="Only these symbols.")
@options.as_json
@remote.option("predict")
def predict(
    as_of: date | tuple[date, date] | None, symbols: tuple[str, ...] | None, machine: bool
) -> None:
    r"""Forecast five trading days ahead and keep the forecasts in the ledger.

    \b
      weekahead predict
      weekahead predict --as-of 2012-06-01..2012-12-31
    """
    from flows.cli.context import services_up
    from flows.cli.results import show_forecasts
    from lakehouse import usecases

    with services_up() as settings:
        report = usecases.predict(settings, show.progress, as_of=as_of, symbols=symbols)
        usecases.transform(settings, show.progress)
    if machine:
        show.as_json(report.to_dict())
    else:
        show_forecasts(report)


COMMANDS = (run, ingest, transform, train, predict)
