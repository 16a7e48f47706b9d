"""``weekahead report``."""

from pathlib import Path

import click

from flows.cli import show


@click.command()
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("weekahead-report.html"),
    show_default=True,
    help="The file to write.",
)
def report(output: Path) -> None:
    """Write one HTML file: forecasts, how good they are, and the data's health.

    The file is self-contained, needs no network, and can be sent to anyone.
    """
    from flows.cli.context import services_up
    from lakehouse.report import write_report

    with services_up(quiet=True) as platform:
        show.line(str(write_report(platform, output)))


COMMANDS = (report,)
