"""Reads the lake with every Iceberg client that is installed, as the read-only account.

weekahead up
eval "$(weekahead env)"
python examples/lake.py
"""

import os
from importlib.util import find_spec
from typing import Any

from pyiceberg.catalog import load_catalog

NAME = "raw.quotes"
PREFIX = "PYICEBERG_CATALOG__WEEKAHEAD__"


def with_pyiceberg() -> int:
    """Rows of the current snapshot; pyiceberg finds the catalog in the environment."""
    return int(load_catalog("weekahead").load_table(NAME).scan().count())


def with_pandas() -> int:
    table = load_catalog("weekahead").load_table(NAME)
    frame = table.scan(row_filter="symbol = 'IBM'", selected_fields=("trade_date", "close"))
    return len(frame.to_pandas())


def with_polars() -> int:
    import polars

    table = load_catalog("weekahead").load_table(NAME)
    counted = polars.scan_iceberg(table, reader_override="pyiceberg").select(polars.len())
    return int(counted.collect().item())


def with_duckdb() -> int:
    """DuckDB attaches the catalog itself; its extensions come from wheels, or its own site."""
    import duckdb

    known = {name.removeprefix(PREFIX): value for name, value in os.environ.items()}
    connection = duckdb.connect()
    for extension in ("httpfs", "avro", "iceberg"):
        if find_spec("duckdb_extensions"):
            from duckdb_extensions import import_extension

            import_extension(extension, con=connection)
        connection.execute(f"LOAD {extension}")
    access, _, secret = known["CREDENTIAL"].partition(":")
    scheme, _, store = known["S3__ENDPOINT"].partition("://")
    connection.execute(
        f"CREATE SECRET store (TYPE s3, KEY_ID '{known['S3__ACCESS_KEY_ID']}', "
        f"SECRET '{known['S3__SECRET_ACCESS_KEY']}', ENDPOINT '{store}', URL_STYLE 'path', "
        f"REGION '{known['S3__REGION']}', USE_SSL {str(scheme == 'https').lower()})"
    )
    connection.execute(
        f"CREATE SECRET catalog (TYPE iceberg, CLIENT_ID '{access}', CLIENT_SECRET '{secret}', "
        f"OAUTH2_SERVER_URI '{known['OAUTH2_SERVER_URI']}')"
    )
    # The catalog hands out no keys of its own.
    connection.execute(
        f"ATTACH '{known['WAREHOUSE']}' AS lake (TYPE iceberg, ENDPOINT '{known['URI']}', "
        "SECRET catalog, ACCESS_DELEGATION_MODE 'none')"
    )
    return int(connection.execute("SELECT count(*) FROM lake.raw.quotes").fetchall()[0][0])


def with_daft() -> int:
    import daft

    return int(daft.read_iceberg(load_catalog("weekahead").load_table(NAME)).count_rows())


def with_datafusion() -> int:
    import datafusion

    table = load_catalog("weekahead").load_table(NAME)
    context = datafusion.SessionContext()
    context.register_record_batches("quotes", [table.scan().to_arrow().to_batches()])
    return int(context.sql("SELECT count(*) AS n FROM quotes").to_pydict()["n"][0])


CLIENTS: dict[str, Any] = {
    "pyiceberg": with_pyiceberg,
    "pandas": with_pandas,
    "polars": with_polars,
    "duckdb": with_duckdb,
    "daft": with_daft,
    "datafusion": with_datafusion,
}

if __name__ == "__main__":
    for client, read in CLIENTS.items():
        print(client, read() if find_spec(client) else "is not installed")
