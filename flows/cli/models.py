"""Commands for forecasts and models: score, reproduce, rollback."""

import click

from flows.cli import by_worker, options, show


@click.command()
@click.option(
    "--strict", is_flag=True, help="End with code 1 when something is outside its limits."
)
@options.as_json
@by_worker.option("score")
def score(strict: bool, machine: bool) -> int:
    """Compare every past forecast with what happened, and measure feature drift.

    Realised error relative to the last price and to drift, and coverage of the intervals, over the
    latest as-of dates. What is outside the limits of the settings forecast.* is a warning.
    """
    from flows.cli.context import perform

    return perform("score", machine=machine, strict=strict)


@click.command()
@click.argument("version", metavar="MODEL_VERSION")
@options.as_json
def reproduce(version: str, machine: bool) -> int:
    """Train a model version again from the lake's snapshots it saw, and compare every figure.

    MODEL_VERSION is a number, or "champion". Ends with code 0 when data and figures are identical,
    else with code 1 and a list of what differs.
    """
    from flows.cli.context import services_up
    from lakehouse.models.reproduce import reproduce as again

    with services_up() as platform:
        report = again(platform, version)
    if machine:
        show.as_json(report.to_dict())
        return report.exit_code
    verdict = "identical" if report.identical else "DIFFERENT"
    show.line(
        f"Version {report.version} ({report.kind}): {verdict}; data {report.data_digest[:12]}…, "
        f"{report.figures} figures compared, {report.seconds:.0f} s."
    )
    for difference in report.differences:
        show.error(difference)
    for note in report.notes:
        show.line(f"note: {note}")
    return report.exit_code


@click.command()
@click.argument("version", metavar="[MODEL_VERSION]", required=False)
@options.as_json
def rollback(version: str | None, machine: bool) -> None:
    """Let an earlier model version serve again; by default the one before the champion."""
    from deploy.local import LAKE, MODELS
    from flows.cli.context import services_up
    from lakehouse.models.registry import rollback as back

    with services_up(LAKE, MODELS) as platform:
        report = back(platform.models, version)
    if machine:
        show.as_json(report.to_dict())
    else:
        show.line(f"Version {report.serves} serves now, instead of {report.replaced}.")


COMMANDS = (score, reproduce, rollback)
