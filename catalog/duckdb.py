"""DuckDB on the lake: read-only, with the extensions that ship as wheels.

The extensions are loaded from the installed packages, never from the network.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from catalog.connect import load_table, open_catalog
from catalog.errors import CatalogUnavailable
from catalog.settings import CatalogSettings, S3Settings, client_credential
from catalog.tables import TABLES

if TYPE_CHECKING:
    import duckdb

EXTENSIONS = ("httpfs", "avro", "iceberg")


def connect(
    catalog: CatalogSettings, s3: S3Settings, *, extension_dir: Path
) -> "duckdb.DuckDBPyConnection":
    """Open an in-memory DuckDB with the lake attached, so that ``raw.quotes`` is a table name.

    DuckDB attaches a REST catalog and sees each new snapshot. For any other catalog it gets views
    that show the tables as of now.

    Args:
        catalog: Address, kind and credentials of the catalog.
        s3: The object store; the read-only account is used.
        extension_dir: A private directory for the unpacked extensions; created if missing.

    Returns:
        A connection whose current schema is ``lake.raw``; the caller closes it.

    Raises:
        TableMissing: The catalog cannot be attached and lacks a table to show.
        CatalogUnavailable: The catalog does not answer, or DuckDB cannot attach it.
    """
    import duckdb
    from duckdb_extensions import import_extension

    extension_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    connection = duckdb.connect(
        config={
            "extension_directory": str(extension_dir),
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
        }
    )
    for name in EXTENSIONS:
        import_extension(name, con=connection)
        connection.execute(f"LOAD {name}")
    try:
        _know_store(connection, s3)
        if catalog.engines_can_log_in:
            _attach(connection, catalog, s3)
        else:
            _show_tables(connection, catalog, s3)
        connection.execute("USE lake.raw")
    except duckdb.Error as error:
        raise CatalogUnavailable(
            f"DuckDB cannot attach the lake at {catalog.uri}: {error}."
        ) from error
    return connection


def _know_store(connection: "duckdb.DuckDBPyConnection", s3: S3Settings) -> None:
    scheme, _, address = (s3.endpoint or "").partition("://")
    secret = s3.reader_secret_key.get_secret_value()
    connection.execute(
        "CREATE SECRET store (TYPE s3, PROVIDER config, "
        f"KEY_ID {_quote(s3.reader_access_key)}, SECRET {_quote(secret)}, "
        f"REGION {_quote(s3.region)}, ENDPOINT {_quote(address)}, URL_STYLE 'path', "
        f"USE_SSL {str(scheme == 'https').lower()})"
    )


def _attach(
    connection: "duckdb.DuckDBPyConnection", catalog: CatalogSettings, s3: S3Settings
) -> None:
    credential = client_credential(catalog, s3, read_only=True)
    client_id, _, client_secret = credential.partition(":")
    connection.execute(
        "CREATE SECRET catalog (TYPE iceberg, "
        f"CLIENT_ID {_quote(client_id)}, CLIENT_SECRET {_quote(client_secret)}, "
        f"OAUTH2_SERVER_URI {_quote(catalog.token_uri)}, OAUTH2_SCOPE {_quote(catalog.scope)})"
    )
    connection.execute(
        f"ATTACH {_quote(catalog.warehouse)} AS lake (TYPE iceberg, READ_ONLY, "
        f"ENDPOINT {_quote(catalog.uri or '')}, SECRET catalog, ACCESS_DELEGATION_MODE 'none')"
    )


def _show_tables(
    connection: "duckdb.DuckDBPyConnection", catalog: CatalogSettings, s3: S3Settings
) -> None:
    opened = open_catalog(catalog, s3, read_only=True)
    connection.execute("ATTACH ':memory:' AS lake")
    for definition in TABLES:
        schema, _, name = definition.name.partition(".")
        file = load_table(opened, definition).metadata_location
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS lake.{schema}")
        rows = f"SELECT * FROM iceberg_scan({_quote(file)})"  # noqa: S608 - the catalog's own name
        connection.execute(f"CREATE VIEW lake.{schema}.{name} AS {rows}")


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
