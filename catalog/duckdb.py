"""DuckDB on the lake: read-only, with the extensions that the wheels bring.

The extensions are installed from the installed packages, never from the network.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from catalog.errors import CatalogUnavailable
from catalog.settings import CatalogSettings, S3Settings, client_credential

if TYPE_CHECKING:
    import duckdb

EXTENSIONS = ("httpfs", "avro", "iceberg")


def connect(
    catalog: CatalogSettings, s3: S3Settings, *, extension_dir: Path
) -> "duckdb.DuckDBPyConnection":
    """Open an in-memory DuckDB with the lake attached; ``raw.quotes`` is then a table name.

    Args:
        catalog: A REST catalog; DuckDB cannot attach a Hive metastore.
        s3: The object store; the read-only account is used.
        extension_dir: A directory of our own, where the extensions are unpacked.

    Raises:
        CatalogUnavailable: The catalog does not answer, or is not a REST catalog.
    """
    import duckdb
    from duckdb_extensions import import_extension

    if catalog.type != "rest":
        raise CatalogUnavailable(
            "DuckDB reads the lake through a REST catalog only; WEEKAHEAD_CATALOG__TYPE is "
            f"{catalog.type}. Ask ClickHouse instead: weekahead sql --engine clickhouse."
        )
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
        _attach(connection, catalog, s3)
    except duckdb.Error as error:
        raise CatalogUnavailable(
            f"DuckDB cannot attach the lake at {catalog.uri}: {error}."
        ) from error
    return connection


def _attach(
    connection: "duckdb.DuckDBPyConnection", catalog: CatalogSettings, s3: S3Settings
) -> None:
    scheme, _, address = (s3.endpoint or "").partition("://")
    secret = s3.reader_secret_key.get_secret_value()
    credential = client_credential(catalog, s3, read_only=True)
    client_id, _, client_secret = credential.partition(":")
    connection.execute(
        "CREATE SECRET store (TYPE s3, PROVIDER config, "
        f"KEY_ID {_quote(s3.reader_access_key)}, SECRET {_quote(secret)}, "
        f"REGION {_quote(s3.region)}, ENDPOINT {_quote(address)}, URL_STYLE 'path', "
        f"USE_SSL {str(scheme == 'https').lower()})"
    )
    connection.execute(
        "CREATE SECRET catalog (TYPE iceberg, "
        f"CLIENT_ID {_quote(client_id)}, CLIENT_SECRET {_quote(client_secret)}, "
        f"OAUTH2_SERVER_URI {_quote(f'{catalog.uri}/v1/oauth/tokens')})"
    )
    connection.execute(
        f"ATTACH {_quote(catalog.warehouse)} AS lake (TYPE iceberg, READ_ONLY, "
        f"ENDPOINT {_quote(catalog.uri or '')}, SECRET catalog, ACCESS_DELEGATION_MODE 'none')"
    )
    connection.execute("USE lake.raw")


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
