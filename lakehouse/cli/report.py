"""``weekahead report``."""

from pathlib import Path

import click

from lakehouse.cli import show


@click.command()
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default="weekahead-report.html",
    show_default=True,
    help="The file to write; an older one is replaced.",
)
def report(output: Path) -> None:
    """Write one HTML file: prices and forecasts, how good they are, data health.

    The file needs nothing else and no network: open it in any browser, or mail it.
    """
    from lakehouse.cli.context import services_up
    from lakehouse.report import write_report

    with services_up() as settings:
        path = write_report(settings, output)
    show.line(str(path))


COMMANDS = (report,)
