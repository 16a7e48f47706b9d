"""Maintenance commands: the lake, the quarantine, the dbt documentation."""

import click

from flows.cli import by_worker, options, show


@click.command()
@options.as_json
@by_worker.option("maintain")
def maintain(machine: bool) -> int:
    """Keep the lake small: compact small files, expire old snapshots, delete orphan files.

    Snapshots that a champion was trained on, present or past, are tagged and stay; those of model
    versions that never served stay for a while. Safe during a running ingest. The settings
    maintenance.* say what is old.
    """
    from deploy.local import LAKE, MODELS
    from flows.cli.context import perform

    return perform("maintain", machine=machine, needs=frozenset({LAKE, MODELS}))


@click.command()
@click.option("--source", help="Quote source; default: the setting ingest.source.")
@click.option("--symbol", help="Only this symbol.")
@click.option("--rule", help="Only rejects of this rule.")
@click.option("--replay", is_flag=True, help="Check the open ones again, and land what passes now.")
@options.as_json
def rejects(
    source: str | None, symbol: str | None, rule: str | None, replay: bool, machine: bool
) -> None:
    """List the bars that the quality gate kept out (or flagged), or check them again.

    After a rule or a limit has changed, --replay lands what passes now.
    """
    from catalog.connect import ensure_tables
    from deploy.local import LAKE
    from flows.cli.context import services_up
    from lakehouse.landing.rejects import list_rejects
    from lakehouse.landing.rejects_replay import replay_rejects
    from lakehouse.results import describe_ingest

    with services_up(LAKE) as platform:
        chosen = source or platform.settings.ingest.source
        ensure_tables(platform.lake)
        if replay:
            report = replay_rejects(platform, chosen, rule=rule, symbol=symbol)
            show.result(describe_ingest(report), machine=machine)
            return
        found = list_rejects(platform.lake, chosen, symbol=symbol, rule=rule)
    if machine:
        show.as_json([reject.to_dict() for reject in found])
        return
    show.table(
        f"Rejects of {chosen}",
        ["symbol", "date", "rule", "status", "reason"],
        [
            (reject.symbol, reject.trade_date, reject.rule, reject.status, reject.reason)
            for reject in found
        ],
        left=5,
    )


@click.command()
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Port; 0 chooses a free one."
)
def docs(port: int) -> None:
    """Show the documentation of the dbt models in a browser, until Ctrl-C."""
    from flows.cli.context import services_up
    from lakehouse.warehouse.docs import generate, serve

    with services_up() as platform:
        page = generate(platform.settings)
    serve(page, port=port, ready=lambda address: show.line(f"dbt docs: {address} (Ctrl-C ends)"))


COMMANDS = (maintain, rejects, docs)
