"""Output for people: progress on stderr, results on stdout."""

import json
import logging
import sys
import time
from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from lakehouse.results import Result

MAX_ROWS = 25
STARTED = time.monotonic()
# Wide enough for all of our tables; used if the output is not a terminal.
FILE_WIDTH = 140
_stderr = Console(stderr=True, highlight=False)
_stdout = Console(highlight=False, width=None if sys.stdout.isatty() else FILE_WIDTH)


def progress(message: str) -> None:
    """Print a line on stderr, with the seconds since the command started."""
    _stderr.print(f"[dim]{time.monotonic() - STARTED:6.1f}s[/dim]", end=" ")
    _stderr.print(message, markup=False, soft_wrap=True)


class _Terminal(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        (progress if record.levelno < logging.WARNING else warning)(record.getMessage())


def log_to_terminal() -> None:
    """Show log messages: progress, and warnings as such."""
    log = logging.getLogger("weekahead")
    log.addHandler(_Terminal())
    # A library may configure the root logger, which would print every line twice.
    log.propagate = False


def error(message: str) -> None:
    """An error, on stderr."""
    _stderr.print("[bold red]error:[/bold red]", end=" ")
    _stderr.print(message, markup=False, soft_wrap=True)


def warning(message: str) -> None:
    """A warning, on stderr."""
    _stderr.print("[bold yellow]warning:[/bold yellow]", end=" ")
    _stderr.print(message, markup=False, soft_wrap=True)


def line(text: str = "") -> None:
    """One line of the result."""
    _stdout.print(text, markup=False, soft_wrap=True)


def table(
    title: str | None, headers: Sequence[str], rows: Sequence[Sequence[Any]], *, left: int = 1
) -> None:
    """Print a table of the result.

    Args:
        title: Shown above the table; None shows none.
        headers: One per column.
        rows: Cells are printed with ``str``, None as an empty cell.
        left: Number of columns, from the left, that hold text rather than numbers.
    """
    shown = Table(
        title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, padding=(0, 1)
    )
    for number, header in enumerate(headers):
        shown.add_column(header, justify="left" if number < left else "right")
    for row in rows:
        shown.add_row(*("" if cell is None else str(cell) for cell in row))
    _stdout.print(shown)


def result(found: Result, *, machine: bool) -> int:
    """Print the result of a use case.

    Args:
        found: The result.
        machine: Print JSON.

    Returns:
        The exit code.
    """
    if machine:
        as_json(found.data)
        return found.exit_code
    for part in found.parts:
        if isinstance(part, str):
            line(part)
            continue
        table(part.title, part.headers, part.rows[:MAX_ROWS], left=part.left)
        if (hidden := max(part.total, len(part.rows)) - MAX_ROWS) > 0:
            line(part.more.format(hidden))
    for text in found.warnings:
        warning(text)
    for text in found.errors:
        error(text)
    return found.exit_code


def as_json(value: Any) -> None:
    """Print a result as JSON."""
    json.dump(value, sys.stdout, indent=2, default=str)
    sys.stdout.write("\n")
