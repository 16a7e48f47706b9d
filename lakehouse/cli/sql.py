"""``weekahead sql``."""

import sys

import click

from lakehouse.cli import show

HELP = """Ask the lake (DuckDB on the Iceberg tables) or the marts (ClickHouse), read-only.

\b
  weekahead sql "select symbol, count(*) from raw.quotes group by all"
  weekahead sql "select * from ml.forecasts order by made_at desc" --format csv > ledger.csv
  weekahead sql --engine clickhouse "select * from marts.fct_forecasts"

\b
Time travel (DuckDB): the snapshots of a table, and the table as it was then
  weekahead sql "select * from iceberg_snapshots('lake.raw.quotes')"
  weekahead sql "select count(*) from raw.quotes at (version => 5218701635757598980)"
  weekahead sql "select count(*) from raw.quotes at (timestamp => timestamp '2026-01-31 18:00')"

Without STATEMENT it is read from standard input.
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
    type=click.Choice(["table", "csv", "json"]),
    default="table",
    show_default=True,
    help="csv and json stream results of any size.",
)
def sql(statement: str | None, engine: str, style: str) -> None:
    """Answer one statement."""
    from lakehouse.cli.context import services_up
    from lakehouse.services import LAKE, WAREHOUSE
    from lakehouse.sql import TABLE_ROW_LIMIT, query, take_rows, write_csv, write_json

    if statement is None:
        statement = click.get_text_stream("stdin").read()
    if not statement.strip():
        raise click.UsageError("There is no statement: give one as argument or on standard input.")
    need = LAKE if engine == "duckdb" else WAREHOUSE
    with services_up(need, quiet=True) as settings, query(settings, statement, engine) as reader:
        if style == "csv":
            write_csv(reader, sys.stdout)
        elif style == "json":
            write_json(reader, sys.stdout)
        else:
            rows, more = take_rows(reader, TABLE_ROW_LIMIT)
            show.table(None, reader.schema.names, rows)
            if more:
                show.warning(f"Only the first {TABLE_ROW_LIMIT} rows are shown; use --format csv.")


COMMANDS = (sql,)
