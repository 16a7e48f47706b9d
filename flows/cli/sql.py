"""``weekahead sql``."""

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from flows.cli import show

if TYPE_CHECKING:
    import pyarrow as pa

HELP = """Ask the lake (DuckDB on the Iceberg tables) or the marts (ClickHouse), read-only.

\b
  weekahead sql                                   a terminal IDE with completion and history
  weekahead sql "select symbol, count(*) from raw.quotes group by all"
  weekahead sql "select * from ml.forecasts order by made_at desc" --format csv > ledger.csv
  weekahead sql "select * from raw.quotes" --format parquet --output quotes.parquet
  weekahead sql --engine clickhouse "select * from marts.fct_forecasts"

\b
Time travel (DuckDB): the snapshots of a table, and the table as it was then
  weekahead sql "select * from iceberg_snapshots('lake.raw.quotes')"
  weekahead sql "select count(*) from raw.quotes at (version => 5218701635757598980)"
  weekahead sql "select count(*) from raw.quotes at (timestamp => timestamp '2026-01-31 18:00')"

Without STATEMENT it is read from standard input, or, in a terminal, the IDE (harlequin) opens:
Ctrl-J runs the statement under the cursor, F8 shows the history, F1 all keys, Ctrl-Q quits.
"""


@click.command(help=HELP)
@click.argument("statement", required=False)
@click.option(
    "--engine",
    type=click.Choice(["duckdb", "clickhouse"]),
    default="duckdb",
    show_default=True,
    help="duckdb reads the lake, clickhouse reads the marts.",
)
@click.option(
    "--format",
    "style",
    type=click.Choice(["table", "csv", "json", "parquet"]),
    default="table",
    show_default=True,
    help="csv, json and parquet stream results of any size.",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write the result to this file instead of standard output; parquet needs one.",
)
@click.option("--interactive", "-i", is_flag=True, help="Open the IDE; needs a terminal.")
def sql(
    statement: str | None, engine: str, style: str, output: Path | None, interactive: bool
) -> None:
    """Answer one statement, or open the IDE."""
    from deploy.local import LAKE, WAREHOUSE
    from flows.cli.context import services_up
    from lakehouse.sql import query

    need = LAKE if engine == "duckdb" else WAREHOUSE
    # It draws on standard error, as full-screen programs do that leave the output free.
    terminal = all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))
    if interactive or (statement is None and terminal):
        if statement is not None or style != "table" or output is not None:
            raise click.UsageError("The IDE takes no STATEMENT, --format or --output.")
        if not terminal:
            raise click.UsageError("The IDE needs a terminal; give a STATEMENT instead.")
        # It takes a second to import.
        from flows.cli.shell import open_shell

        with services_up(need) as platform:
            open_shell(platform.settings, engine)
        return
    if statement is None:
        statement = click.get_text_stream("stdin").read()
    if not statement.strip():
        raise click.UsageError("There is no statement: give one as argument or on standard input.")
    if style == "parquet" and output is None:
        raise click.UsageError("Parquet is written to a file: say which with --output FILE.")
    if style == "table" and output is not None:
        raise click.UsageError("A table is for the screen: add --format csv, json or parquet.")
    with (
        services_up(need, quiet=True) as platform,
        query(platform.settings, statement, engine) as reader,
    ):
        _write(reader, style, output)


def _write(reader: "pa.RecordBatchReader", style: str, output: Path | None) -> None:
    from lakehouse.sql import TABLE_ROW_LIMIT, take_rows, write_csv, write_json, write_parquet

    if style == "table":
        rows, more = take_rows(reader, TABLE_ROW_LIMIT)
        show.table(None, reader.schema.names, rows)
        if more:
            show.warning(f"Only the first {TABLE_ROW_LIMIT} rows are shown; use --format csv.")
        return
    with _destination(output) as file:
        if style == "parquet":
            write_parquet(reader, file)
        else:
            text = io.TextIOWrapper(file, encoding="utf-8", newline="")
            (write_csv if style == "csv" else write_json)(reader, text)
            text.flush()
            text.detach()


@contextmanager
def _destination(output: Path | None) -> Iterator[IO[bytes]]:
    from lakehouse.sql import whole_file

    if output is None:
        yield sys.stdout.buffer
    else:
        with whole_file(output) as file:
            yield file


COMMANDS = (sql,)
