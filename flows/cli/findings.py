"""``weekahead findings``: anomalies in the data, and decisions about them."""

import getpass
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flows.cli import options, show

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog

HELP = """What is odd about the data: list it, look closer, decide, keep decisions in a file.

A severe open finding keeps its symbol, from its first date on, out of training and forecasts. It
is mended automatically once the data is corrected; if the data is right, acknowledge it, and the
symbol serves again.

\b
  weekahead findings list
  weekahead findings show --symbol LA.V
  weekahead findings acknowledge --symbol LA.V --rule split_contradicted --why "see their notice"
  weekahead findings export > findings.csv
  weekahead findings import findings.csv
"""


@click.group(help=HELP)
def findings() -> None:
    """Group the commands."""


CHOICE = (
    click.option("--source", help="Only of this quote source."),
    click.option("--symbol", help="Only of this symbol."),
    click.option("--rule", help="Only of this rule."),
)


def _chosen(command: options.Command) -> options.Command:
    for option in reversed(CHOICE):
        command = option(command)
    return command


@findings.command("list")
@_chosen
@click.option("--all", "everything", is_flag=True, help="Include acknowledged and mended ones.")
@options.as_json
def list_(
    source: str | None, symbol: str | None, rule: str | None, everything: bool, machine: bool
) -> None:
    """List open findings, the severe ones first."""
    from lakehouse.findings import OPEN, list_findings

    with _lake() as catalog:
        found = list_findings(
            catalog,
            source=source,
            symbol=_upper(symbol),
            rule=rule,
            state=None if everything else OPEN,
        )
    if machine:
        show.as_json([finding.to_dict() for finding in found])
        return
    show.table(
        f"{len(found)} findings" if everything else f"{len(found)} open findings",
        ["severity", "source", "symbol", "from", "to", "rule", "state", "seen"],
        [
            (
                finding.severity,
                finding.source,
                finding.symbol,
                finding.first_date,
                finding.last_date,
                finding.rule,
                finding.state,
                finding.seen,
            )
            for finding in found
        ],
        left=8,
    )


@findings.command("show")
@_chosen
@options.as_json
def show_(source: str | None, symbol: str | None, rule: str | None, machine: bool) -> None:
    """Show findings with everything that is known about them."""
    from lakehouse.findings import list_findings

    with _lake() as catalog:
        found = list_findings(catalog, source=source, symbol=_upper(symbol), rule=rule)
    if machine:
        show.as_json([finding.to_dict() for finding in found])
        return
    for finding in found:
        show.line(f"{finding.severity}: {finding}")
        show.line(f"  state: {finding.state}, found at {finding.found_at:%Y-%m-%d %H:%M} UTC")
        if finding.acknowledged_at:
            show.line(
                f"  acknowledged by {finding.acknowledged_by}, "
                f"{finding.acknowledged_at:%Y-%m-%d %H:%M} UTC: {finding.acknowledged_why}"
            )
        if finding.proposal:
            show.line("  proposal for dbt/seeds/split_overrides.csv:")
            show.line("    " + finding.proposal.replace("\n", "\n    "))
    if not found:
        show.line("No finding matches.")


@findings.command()
@_chosen
@click.option("--date", "day", type=options.DateType(), help="Only the one of this first date.")
@click.option("--why", required=True, help="The reason; it is stored with the finding.")
@click.option("--by", help="Who decides; default: your user name.")
@options.as_json
def acknowledge(
    source: str | None,
    symbol: str | None,
    rule: str | None,
    day: date | None,
    why: str,
    by: str | None,
    machine: bool,
) -> None:
    """Confirm that the data is right, so that its symbol is used again."""
    from lakehouse.findings import OPEN, list_findings
    from lakehouse.findings import acknowledge as decide

    if symbol is None and rule is None:
        raise click.UsageError("Say which: --symbol, --rule, or both.")
    with _lake() as catalog:
        found = list_findings(catalog, source=source, symbol=_upper(symbol), rule=rule, state=OPEN)
        chosen = [finding for finding in found if day in (None, finding.first_date)]
        decided = decide(catalog, chosen, by=by or getpass.getuser(), why=why)
    if machine:
        show.as_json([finding.to_dict() for finding in decided])
        return
    for finding in decided:
        show.line(f"acknowledged: {finding}")
    show.line("Their symbols serve again after the next 'weekahead transform'.")


@findings.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), required=False)
def export(file: Path | None) -> None:
    """Write all findings as CSV to FILE, or to standard output."""
    from lakehouse.findings import list_findings
    from lakehouse.findings_csv import write_csv

    with _lake() as catalog:
        found = list_findings(catalog)
    if file is None:
        write_csv(found, sys.stdout)
        return
    with file.open("w", encoding="utf-8", newline="") as out:
        write_csv(found, out)
    show.line(f"{len(found)} findings are in {file}.")


@findings.command("import")
@click.argument("file", type=click.Path(dir_okay=False, exists=True, path_type=Path))
def import_(file: Path) -> None:
    """Import findings and decisions from CSV into the lake; those in the file win."""
    from lakehouse.findings_csv import import_csv

    with _lake() as catalog, file.open(encoding="utf-8", newline="") as text:
        changed = import_csv(catalog, text, str(file))
    show.line(f"{changed} findings are new or different.")


@contextmanager
def _lake() -> "Iterator[Catalog]":
    from catalog.connect import ensure_tables
    from deploy.local import LAKE
    from flows.cli.context import services_up

    with services_up(LAKE, quiet=True) as platform:
        ensure_tables(platform.lake)
        yield platform.lake


def _upper(symbol: str | None) -> str | None:
    return symbol.upper() if symbol else symbol


COMMANDS = (findings,)
