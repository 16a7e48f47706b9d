"""Opens the catalog and creates the tables that it lacks."""

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
    # A merge decides from what it has read, so it must read again if another writer commits in
    # between. pyiceberg's own retry would commit the stale decision, so it is off.
    "commit.retry.num-retries": "0",
    "write.parquet.compression-codec": "zstd",
    # Large enough for one file to hold a whole exchange's year, so that metadata stays small.
    "write.target-file-size-bytes": str(128 * 1024 * 1024),
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "20",
}
# A commit to a Hive metastore waits for the table's lock; pyiceberg by default polls for it with
# pauses of up to a minute and gives up after four.
HIVE_PROPERTIES = {
    "hive.hive2-compatible": "true",
    "lock-check-min-wait-time": "0.05",
    "lock-check-max-wait-time": "0.2",
    "lock-check-retries": "100",
}
# Raised when a catalog does not answer or refuses the credentials, over REST or Thrift.
UNAVAILABLE = (OSError, RESTError, UnauthorizedError, TException)


def open_catalog(catalog: CatalogSettings, s3: S3Settings, *, read_only: bool = False) -> Catalog:
    """Connect to the Iceberg catalog.

    Args:
        catalog: Address, kind and credentials of the catalog.
        s3: Address and keys of the object store.
        read_only: Log in with the read-only account instead of the writing one.

    Returns:
        The opened catalog; listing its namespaces has succeeded once.

    Raises:
        CatalogUnavailable: No address is set, the catalog does not answer, or it refuses the
            credentials.
    """
    properties = catalog_properties(catalog, s3, read_only=read_only)
    if catalog.type == "hive":
        # It warns on every poll for the lock, yet waiting for another writer is normal.
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
    """The properties for pyiceberg's ``load_catalog``, and for other clients that accept them.

    Args:
        catalog: Address, kind and credentials of the catalog.
        s3: Address and keys of the object store.
        read_only: Use the read-only credentials.

    Returns:
        Property names and values as pyiceberg spells them; contains secrets.

    Raises:
        CatalogUnavailable: The catalog or the object store has no address.
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
    """Create missing namespaces and tables, and add missing columns.

    Rows written by an earlier version hold nulls in the new columns.
    """
    namespaces = sorted({definition.name.split(".")[0] for definition in TABLES})
    for namespace in namespaces:
        # Another writer may create the same namespace now; both want the same outcome.
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
    # Another writer may add the same columns now; both want the same outcome.
    with suppress(CommitFailedException), table.transaction() as transaction:
        with transaction.update_schema() as update:
            for column in missing:
                update.add_column(column.name, column.field_type)
        if table.current_snapshot():
            # Engines read a snapshot with the schema it was written with: this empty one has
            # the new columns.
            with transaction.update_snapshot().fast_append():
                pass


def load_table(catalog: Catalog, definition: TableDefinition) -> Table:
    """Load a table at its current snapshot.

    Args:
        catalog: The catalog.
        definition: The table; only its name is used.

    Returns:
        The table's current metadata; call again to see later commits.

    Raises:
        TableMissing: The catalog has no such table.
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
