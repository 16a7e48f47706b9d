"""Opening the catalog and making sure that its tables exist."""

import logging
from contextlib import suppress

from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.exceptions import (
    CommitFailedException,
    NamespaceAlreadyExistsError,
    NoSuchTableError,
    RESTError,
    TableAlreadyExistsError,
    UnauthorizedError,
)
from pyiceberg.table import Table
from thrift.Thrift import TException

from catalog.errors import CatalogUnavailable, TableMissing
from catalog.settings import CatalogSettings, S3Settings, client_credential
from catalog.tables import TABLES, TableDefinition

TABLE_PROPERTIES = {
    # A merge decides on what it has read: when another writer commits in between, it has to read
    # again. pyiceberg's own retry would commit the old decision, so it is off.
    "commit.retry.num-retries": "0",
    "write.parquet.compression-codec": "zstd",
    # One file a year and table holds a whole exchange; metadata of each commit stays small.
    "write.target-file-size-bytes": str(128 * 1024 * 1024),
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "20",
}
# A commit to a Hive metastore waits for the table's lock; pyiceberg would look for it in steps of
# up to a minute, and give up after four.
HIVE_PROPERTIES = {
    "hive.hive2-compatible": "true",
    "lock-check-min-wait-time": "0.05",
    "lock-check-max-wait-time": "0.2",
    "lock-check-retries": "100",
}
# What a catalog that does not answer, or refuses, raises: over REST, and over Thrift.
UNAVAILABLE = (OSError, RESTError, UnauthorizedError, TException)


def open_catalog(catalog: CatalogSettings, s3: S3Settings, *, read_only: bool = False) -> Catalog:
    """Connect to the Iceberg catalog.

    Args:
        catalog: Where the catalog is.
        s3: Where the object store is.
        read_only: Log in with the read-only account.

    Raises:
        CatalogUnavailable: The catalog does not answer, or refuses the credentials.
    """
    properties = catalog_properties(catalog, s3, read_only=read_only)
    if catalog.type == "hive":
        # It warns each time that it looks for a lock; to wait for another writer is ordinary.
        logging.getLogger("pyiceberg.catalog.hive").setLevel(logging.ERROR)
    try:
        opened = load_catalog("lake", **properties)
        opened.list_namespaces()
    except UNAVAILABLE as error:
        raise CatalogUnavailable(
            f"The Iceberg catalog at {catalog.uri} cannot be used: {error}. "
            "Check WEEKAHEAD_CATALOG__URI, the credentials, and that it is running."
        ) from error
    return opened


def catalog_properties(
    catalog: CatalogSettings, s3: S3Settings, *, read_only: bool
) -> dict[str, str]:
    """What pyiceberg's ``load_catalog`` needs to know, and whoever else takes its configuration.

    Raises:
        CatalogUnavailable: There is no address.
    """
    if not catalog.uri or not s3.endpoint:
        raise CatalogUnavailable(
            "No catalog address: set WEEKAHEAD_CATALOG__URI and WEEKAHEAD_S3__ENDPOINT."
        )
    access = s3.reader_access_key if read_only else s3.access_key
    secret = s3.reader_secret_key if read_only else s3.secret_key
    properties = {
        "type": catalog.type,
        "uri": catalog.uri,
        "warehouse": catalog.warehouse,
        "s3.endpoint": s3.endpoint,
        "s3.access-key-id": access,
        "s3.secret-access-key": secret.get_secret_value(),
        "s3.region": s3.region,
    }
    if catalog.type == "hive":
        properties |= HIVE_PROPERTIES
    elif catalog.auth == "sigv4":
        properties |= {
            "rest.sigv4-enabled": "true",
            "rest.signing-name": catalog.signing_name,
            "rest.signing-region": s3.region,
            "client.access-key-id": access,
            "client.secret-access-key": secret.get_secret_value(),
        }
    else:
        properties |= {
            "credential": client_credential(catalog, s3, read_only=read_only),
            "oauth2-server-uri": catalog.token_uri,
            "scope": catalog.scope,
        }
    return properties


def ensure_tables(catalog: Catalog) -> None:
    """Create the namespaces and tables that are missing, and add columns that tables lack.

    Rows that an earlier version wrote hold nulls in its new columns.
    """
    namespaces = sorted({definition.name.split(".")[0] for definition in TABLES})
    for namespace in namespaces:
        # A second writer may create the same at the same time; both want the same outcome.
        if not catalog.namespace_exists(namespace):
            with suppress(NamespaceAlreadyExistsError):
                catalog.create_namespace(namespace)
    existing = {
        f"{namespace}.{name}"
        for namespace in namespaces
        for _, name in catalog.list_tables(namespace)
    }
    for definition in TABLES:
        if definition.name not in existing:
            _create(catalog, definition)
        else:
            _add_columns(load_table(catalog, definition), definition)


def _create(catalog: Catalog, definition: TableDefinition) -> None:
    with suppress(TableAlreadyExistsError):
        catalog.create_table(
            definition.name,
            schema=definition.schema,
            partition_spec=definition.partition,
            properties=TABLE_PROPERTIES,
        )


def _add_columns(table: Table, definition: TableDefinition) -> None:
    known = set(table.schema().column_names)
    missing = [column for column in definition.schema.fields if column.name not in known]
    if not missing:
        return
    # A second writer may add the same at the same time; both want the same outcome.
    with suppress(CommitFailedException), table.transaction() as transaction:
        with transaction.update_schema() as update:
            for column in missing:
                update.add_column(column.name, column.field_type)
        if table.current_snapshot():
            # Engines read a snapshot by the schema it was made with: this one adds no row, and
            # has the columns.
            with transaction.update_snapshot().fast_append():
                pass


def load_table(catalog: Catalog, definition: TableDefinition) -> Table:
    """Load a table as it is now.

    Raises:
        TableMissing: There is no such table.
        CatalogUnavailable: The catalog does not answer.
    """
    try:
        return catalog.load_table(definition.name)
    except NoSuchTableError as error:
        raise TableMissing(
            f"The lake has no table {definition.name} yet: run 'weekahead ingest' first."
        ) from error
    except UNAVAILABLE as error:
        raise CatalogUnavailable(
            f"The catalog does not answer for {definition.name}: {error}."
        ) from error
