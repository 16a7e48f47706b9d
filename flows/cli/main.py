"""The ``weekahead`` command: its group, and error handling.

Exit codes: 0 success, 1 failure, 2 wrong usage, 130 interrupted, 143 terminated.
"""

import errno
import os
import signal
import sys
import traceback
from types import FrameType

import click

from flows.cli import (
    addresses,
    findings,
    models,
    overview,
    pages,
    report,
    run,
    show,
    sql,
    stack,
    start,
    upkeep,
    users,
)
from lakehouse import __version__
from lakehouse.errors import WeekaheadError

HELP = """Forecast stock prices a week ahead on an open lakehouse.

Quotes land in Iceberg tables, dbt builds features in ClickHouse, scikit-learn models are trained
and registered in MLflow, and every forecast is kept and scored. Without any configuration
everything runs on this machine, below .weekahead/ (or WEEKAHEAD_HOME).

\b
Start here:
  weekahead                                      where this home stands, and what to do next
  weekahead run                                  the whole pipeline on sample quotes
  weekahead sql "select * from raw.quotes limit 5"
  weekahead report                               one HTML file with charts

\b
Settings come from defaults < weekahead.toml < .env < environment < command line;
environment names are WEEKAHEAD_<SECTION>__<KEY>. Results go to stdout, progress to stderr.
Exit codes: 0 done, 1 failed, 2 wrong usage.
"""


@click.group(
    help=HELP,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="weekahead")
@click.pass_context
def cli(context: click.Context) -> None:
    """Group the commands; without one, show the state of this home."""
    if context.invoked_subcommand is None:
        overview.show_overview()


for module in (start, run, stack, pages, addresses, models, findings, sql, report, upkeep, users):
    for command in module.COMMANDS:
        # Docstrings are raw; click keeps the lines of a paragraph that begins with a backspace.
        for each in (command, *getattr(command, "commands", {}).values()):
            each.help = (each.help or "").replace("\\b\n", "\b\n")
        cli.add_command(command)


def main() -> None:
    """Run the command line; every expected failure is one message and an exit code."""
    show.log_to_terminal()
    _go_around_proxies()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _terminated)
    # Shells start background jobs with SIGINT ignored, but ours have services to stop.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        code = cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        show.error("Interrupted. What was committed stays; run the command again to continue.")
        code = 130
    except Exception as error:
        code = _failed(error)
    sys.exit(code or 0)


def _failed(error: Exception) -> int:
    if isinstance(error, WeekaheadError):
        show.error(str(error))
        return error.exit_code
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        show.error(
            "The disk is full; what was not committed is lost, the rest is safe. "
            "Free some space and run the command again, or move WEEKAHEAD_HOME."
        )
        return 1
    traceback.print_exception(error, file=sys.stderr)
    show.error("This should not happen; the lines above say where. Please report them.")
    return 1


def _go_around_proxies() -> None:
    """Exclude this machine's services from proxies, for this process and its children."""
    for name in ("NO_PROXY", "no_proxy"):
        named = [part for part in os.environ.get(name, "").split(",") if part]
        os.environ[name] = ",".join(dict.fromkeys([*named, "127.0.0.1", "localhost", "::1"]))


def _terminated(number: int, _: FrameType | None) -> None:
    # Unwind the stack, so that services started by this command are stopped.
    raise SystemExit(128 + number)
