"""Interactive SQL: harlequin, a terminal IDE, on the lake (DuckDB) or the marts (ClickHouse).

The shell runs in this process on open connections, so no secret passes through arguments, files or
the environment. Its history and open editors are stored in the home directory, readable only by its
owner.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from typing import TYPE_CHECKING

import pyarrow as pa
from harlequin import Harlequin, HarlequinAdapter, HarlequinConnection, HarlequinCursor
from harlequin.autocomplete.completion import HarlequinCompletion
from harlequin.catalog import Catalog, CatalogItem
from harlequin.exception import HarlequinQueryError
from harlequin_duckdb import DuckDbAdapter
from harlequin_duckdb.adapter import DuckDbConnection

from lakehouse.environment import temporary_environment
from lakehouse.settings import Settings
from lakehouse.sql import arrow_stream

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

ROW_LIMIT = 10_000
# The priorities that harlequin gives to its own completions.
NAME_PRIORITY, FUNCTION_PRIORITY = 500, 1000
FOLDER = "sql"
# Abbreviations that harlequin shows next to a column; other types show as "?".
SHORT_TYPES = {
    "String": "s", "Bool": "t/f", "Date": "d", "Date32": "d", "DateTime": "ts", "DateTime64": "ts",
    "Float32": "#.#", "Float64": "#.#", "UUID": "uid",
}  # fmt: skip


def open_shell(settings: Settings, engine: str) -> None:
    """Open the shell in this terminal; returns when the user quits it.

    Args:
        settings: Addresses of the running services.
        engine: ``duckdb`` (the lake) or ``clickhouse`` (the marts, as the reader).
    """
    opened = _lake if engine == "duckdb" else _marts
    folder = settings.home.absolute() / FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    umask = os.umask(0o077)
    try:
        with temporary_environment({"XDG_CACHE_HOME": str(folder)}), opened(settings) as adapter:
            Harlequin(
                adapter=adapter,
                connection_hash=f"weekahead-{engine}",
                query_limit=ROW_LIMIT,
            ).run()
    finally:
        os.umask(umask)


@contextmanager
def _lake(settings: Settings) -> Iterator[HarlequinAdapter]:
    from catalog.duckdb import connect

    home = settings.home.absolute()
    with connect(settings.catalog, settings.s3, extension_dir=home / "duckdb") as connection:
        yield LakeAdapter(LakeConnection(connection))


@contextmanager
def _marts(settings: Settings) -> Iterator[HarlequinAdapter]:
    from lakehouse.connections.clickhouse_client import connect

    with connect(settings, role="reader") as client:
        yield MartsAdapter(MartsConnection(client))


class LakeConnection(DuckDbConnection):
    """DuckDB with the lake attached."""

    def get_completions(self) -> list[HarlequinCompletion]:
        """DuckDB's completions and the lake's names, available before the catalog is expanded."""
        rows = (
            self.conn.cursor()
            .execute(
                "SELECT schema_name, table_name, column_name, data_type FROM duckdb_columns() "
                "WHERE database_name = 'lake'"
            )
            .fetchall()
        )
        found = {}
        for schema, table, column, type_ in rows:
            found[schema, table] = _completion(table, "t", schema)
            found[table, column] = _completion(column, self._short_column_type(type_), table)
        return [*super().get_completions(), *found.values()]


class LakeAdapter(DuckDbAdapter):
    """Harlequin's DuckDB adapter, on a connection that is already open."""

    def __init__(self, connection: LakeConnection) -> None:
        super().__init__((), no_init=True)
        self.connection = connection

    def connect(self) -> LakeConnection:
        """Return the open connection."""
        return self.connection


class MartsAdapter(HarlequinAdapter):
    """ClickHouse over HTTP, with a read-only account."""

    ADAPTER_DETAILS = "The marts of weekahead, read-only."

    def __init__(self, connection: "MartsConnection") -> None:
        self.connection = connection

    def connect(self) -> "MartsConnection":
        """Return the open connection."""
        return self.connection


class MartsConnection(HarlequinConnection):
    """A ClickHouse client."""

    def __init__(self, client: "Client") -> None:
        super().__init__()
        self.client = client
        self.init_message = ""

    def execute(self, query: str) -> "MartsCursor":
        """Start a statement; the cursor reads its rows."""
        try:
            return MartsCursor(arrow_stream(self.client, query))
        except Exception as error:
            raise _refused(error) from error

    def get_catalog(self) -> Catalog:
        """The databases, tables and columns that the account can see."""
        rows = self.client.query(
            "SELECT database, table, name, type FROM system.columns "
            "WHERE database NOT IN ('system', 'information_schema', 'INFORMATION_SCHEMA') "
            "ORDER BY database, table, position"
        ).result_rows
        databases = []
        for database, in_database in groupby(rows, key=lambda row: str(row[0])):
            tables = []
            for table, columns in groupby(in_database, key=lambda row: str(row[1])):
                named = f"`{database}`.`{table}`"
                shown = [_column(named, str(name), str(type_)) for *_, name, type_ in columns]
                tables.append(CatalogItem(named, f"{database}.{table}", table, "t", shown))
            databases.append(CatalogItem(f"`{database}`", database, database, "db", tables))
        return Catalog(items=databases)

    def get_completions(self) -> list[HarlequinCompletion]:
        """The functions that this server offers."""
        rows = self.client.query("SELECT name FROM system.functions").result_rows
        return [HarlequinCompletion(name, "fn", name, FUNCTION_PRIORITY) for (name,) in rows]


class MartsCursor(HarlequinCursor):
    """A result that is still being received."""

    def __init__(self, reader: pa.RecordBatchReader) -> None:
        self.reader = reader
        self.limit: int | None = None

    def columns(self) -> list[tuple[str, str]]:
        """Names and short types."""
        return [(field.name, str(field.type)) for field in self.reader.schema]

    def set_limit(self, limit: int) -> "MartsCursor":
        """Limit the number of rows to read."""
        self.limit = limit
        return self

    def fetchall(self) -> pa.Table | None:
        """The rows up to the limit; the rest is not received."""
        taken: list[pa.RecordBatch] = []
        rows = 0
        try:
            for batch in self.reader:
                taken.append(batch)
                rows += batch.num_rows
                if self.limit is not None and rows >= self.limit:
                    break
        except Exception as error:
            raise _refused(error) from error
        finally:
            self.reader.close()
        table = pa.Table.from_batches(taken, schema=self.reader.schema)
        return table.slice(0, self.limit)


def _column(table: str, name: str, type_: str) -> CatalogItem:
    bare = type_
    for wrapper in ("LowCardinality(", "Nullable("):
        bare = bare.removeprefix(wrapper).removesuffix(")") if wrapper in bare else bare
    short = "##" if "Int" in bare else SHORT_TYPES.get(bare.partition("(")[0], "?")
    return CatalogItem(f"{table}.`{name}`", name, name, short, [], type_)


def _completion(name: str, type_: str, context: str) -> HarlequinCompletion:
    return HarlequinCompletion(name, type_, name, NAME_PRIORITY, context)


def _refused(error: Exception) -> HarlequinQueryError:
    return HarlequinQueryError(msg=str(error), title="ClickHouse refuses the statement")
