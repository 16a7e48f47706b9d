"""Ad-hoc SQL: DuckDB on the Iceberg tables, or ClickHouse on the marts, both read-only."""

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa

from lakehouse.errors import UsageError
from lakehouse.settings import Settings

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

TABLE_ROW_LIMIT = 1000
# The embedded engine takes a table without a database for a file, which nobody may read.
TAKEN_FOR_A_FILE = "READ ON FILE"
HINT = "\nA table needs its database, as in marts.fct_quotes."


@contextmanager
def query(settings: Settings, statement: str, engine: str) -> Iterator[pa.RecordBatchReader]:
    """Run a statement and stream its result.

    Args:
        settings: Addresses of the running services.
        statement: One SQL statement.
        engine: ``duckdb`` (the lake) or ``clickhouse`` (the marts, as the reader).

    Yields:
        The result in batches; without columns for a statement that returns nothing.

    Raises:
        UsageError: The engine refuses the statement; the message is the engine's.
    """
    opened = _duckdb if engine == "duckdb" else _clickhouse
    with opened(settings, statement) as reader:
        yield reader


@contextmanager
def _duckdb(settings: Settings, statement: str) -> Iterator[pa.RecordBatchReader]:
    import duckdb

    from catalog.duckdb import connect

    home = settings.home.absolute()
    with connect(settings.catalog, settings.s3, extension_dir=home / "duckdb") as connection:
        try:
            # Despite its type, None for a statement that returns nothing.
            relation: duckdb.DuckDBPyRelation | None = connection.sql(statement)
            if relation:
                yield relation.to_arrow_reader()
            else:
                yield _nothing()
        except duckdb.Error as error:
            raise UsageError(f"DuckDB: {error}") from error


@contextmanager
def _clickhouse(settings: Settings, statement: str) -> Iterator[pa.RecordBatchReader]:
    from clickhouse_connect.driver.exceptions import ClickHouseError

    from lakehouse.connections.clickhouse_client import connect

    client = connect(settings, role="reader")
    try:
        yield arrow_stream(client, statement)
    except ClickHouseError as error:
        hint = HINT if TAKEN_FOR_A_FILE in str(error) else ""
        raise UsageError(f"ClickHouse: {error}{hint}") from error
    finally:
        client.close()


def arrow_stream(client: "Client", statement: str) -> pa.RecordBatchReader:
    """Run a statement in ClickHouse and receive its rows as they are read.

    Args:
        client: The warehouse.
        statement: One SQL statement.

    Returns:
        A reader; without columns for a statement that returns nothing.

    Raises:
        ClickHouseError: The server refuses the statement.
    """
    stream = client.raw_stream(statement, fmt="ArrowStream")
    try:
        return pa.ipc.open_stream(stream)
    except pa.ArrowInvalid:
        # A statement that returns nothing sends not even a schema.
        return _nothing()


def _nothing() -> pa.RecordBatchReader:
    return pa.RecordBatchReader.from_batches(pa.schema([]), [])


def write_csv(reader: pa.RecordBatchReader, output: IO[str]) -> None:
    """Write a result as CSV with a header, batch by batch.

    Args:
        reader: The result.
        output: A text file opened for writing.
    """
    writer = csv.writer(output, lineterminator="\n")
    writer.writerow(reader.schema.names)
    for batch in reader:
        writer.writerows(zip(*(column.to_pylist() for column in batch.columns), strict=True))


def write_json(reader: pa.RecordBatchReader, output: IO[str]) -> None:
    """Write a result as a JSON array of objects, batch by batch.

    Args:
        reader: The result.
        output: A text file opened for writing.

    Raises:
        ValueError: A number is NaN or infinite, which JSON cannot represent.
    """
    separator = "["
    for batch in reader:
        for row in batch.to_pylist():
            output.write(f"{separator}\n{json.dumps(row, default=str, allow_nan=False)}")
            separator = ","
    output.write("[]\n" if separator == "[" else "\n]\n")


def write_parquet(reader: pa.RecordBatchReader, output: IO[bytes]) -> None:
    """Write a result as Parquet with zstd, batch by batch.

    Args:
        reader: The result.
        output: A binary file opened for writing.
    """
    import pyarrow.parquet as pq

    with pq.ParquetWriter(output, reader.schema, compression="zstd") as writer:
        for batch in reader:
            writer.write_batch(batch)


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Write a file atomically; the old content stays until the new one is complete."""
    if not path.parent.is_dir():
        raise UsageError(f"There is no directory {path.parent}; make it, or choose another path.")
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as partial:
        try:
            yield partial
        except BaseException:
            Path(partial.name).unlink()
            raise
    Path(partial.name).replace(path)


def take_rows(reader: pa.RecordBatchReader, limit: int) -> tuple[list[tuple[Any, ...]], bool]:
    """Read the first rows of a result.

    Args:
        reader: The result.
        limit: Maximum number of rows.

    Returns:
        The rows as tuples, and whether there are more.
    """
    rows: list[tuple[Any, ...]] = []
    for batch in reader:
        rows.extend(zip(*(column.to_pylist() for column in batch.columns), strict=True))
        if len(rows) > limit:
            return rows[:limit], True
    return rows, False
