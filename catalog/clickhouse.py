"""Statements that attach the lake to ClickHouse: for a REST catalog, and for any other.

Over a REST catalog the whole lake is one ``DataLakeCatalog`` database, which shows new snapshots at
once. ClickHouse cannot log in to other catalogs (the engine is built without Hive), so each table
is attached on its own, pinned to the catalog's current metadata file: reading an unpinned directory
can return stale data. Both ways give the same database and table names, such as ``lake`` and
``raw.quotes``.

ClickHouse gets the read-only key pair. The statements contain it: send them in a request body to
an account that may create databases, and never log them.
"""

from collections.abc import Iterable, Iterator

from pyiceberg.catalog import Catalog

from catalog.connect import load_table
from catalog.settings import CatalogSettings, S3Settings, client_credential
from catalog.tables import TABLES, TableDefinition

EXPERIMENTAL_SETTINGS = {"allow_database_iceberg": "1"}


def lake_database(
    catalog: CatalogSettings, s3: S3Settings, *, name: str = "lake", comment: str = ""
) -> str:
    """The statement that creates the lake's database over a REST catalog.

    The endpoint is set explicitly because servers otherwise trust the address that the catalog
    vends.

    Args:
        catalog: A REST catalog with OAuth2.
        s3: The object store; the statement contains its read-only key pair.
        name: Name of the database.
        comment: Stored with the database and readable by everyone; must not contain a secret.

    Returns:
        One ``CREATE DATABASE`` statement with credentials in clear text.

    Source: ClickHouse documentation, "DataLakeCatalog" database engine.
    """
    uri = f"{(catalog.uri or '').rstrip('/')}/v1"
    access, secret = _reader_keys(s3)
    options = {
        "catalog_type": "rest",
        "warehouse": catalog.warehouse,
        "storage_endpoint": s3.endpoint or "",
        "catalog_credential": client_credential(catalog, s3, read_only=True),
        "oauth_server_uri": catalog.token_uri,
        "auth_scope": catalog.scope,
    }
    given = ", ".join(f"{key} = {_quoted(value)}" for key, value in options.items())
    return (
        f"CREATE DATABASE {_identifier(name)} "
        f"ENGINE = DataLakeCatalog({_quoted(uri)}, {_quoted(access)}, {_quoted(secret)}) "
        f"SETTINGS {given} COMMENT {_quoted(comment)}"
    )


def pinned_tables(
    opened: Catalog,
    s3: S3Settings,
    *,
    name: str = "lake",
    definitions: Iterable[TableDefinition] = TABLES,
) -> Iterator[str]:
    """The statements that attach each table at its current snapshot; repeat before every read.

    Args:
        opened: The catalog.
        s3: The object store; the statements contain its read-only key pair.
        name: Database to attach the tables in; created if missing.
        definitions: The tables to attach; by default all.

    Yields:
        One ``CREATE DATABASE``, then one ``CREATE OR REPLACE TABLE`` per table.

    Raises:
        TableMissing: A table does not exist.
        CatalogUnavailable: The catalog does not answer.
    """
    yield f"CREATE DATABASE IF NOT EXISTS {_identifier(name)}"
    access, secret = _reader_keys(s3)
    for definition in definitions:
        table = load_table(opened, definition)
        location = table.location().rstrip("/")
        path = location.split("://", 1)[-1]
        metadata = table.metadata_location.removeprefix(f"{location}/")
        yield (
            f"CREATE OR REPLACE TABLE {_identifier(name)}.{_identifier(definition.name)} "
            f"ENGINE = IcebergS3({_quoted(f'{s3.endpoint}/{path}/')}, "
            f"{_quoted(access)}, {_quoted(secret)}) "
            f"SETTINGS iceberg_metadata_file_path = {_quoted(metadata)}"
        )


def _reader_keys(s3: S3Settings) -> tuple[str, str]:
    return s3.reader_access_key, s3.reader_secret_key.get_secret_value()


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _identifier(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace("`", "\\`")
    return f"`{escaped}`"
