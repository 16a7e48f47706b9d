"""Databases of the warehouse, and the lake attached to ClickHouse."""

from hashlib import blake2b
from typing import TYPE_CHECKING

from catalog.clickhouse import EXPERIMENTAL_SETTINGS, lake_database, pinned_tables
from lakehouse.errors import ServiceError
from lakehouse.settings import Settings

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

LAKE = "lake"
LAYERS = ("staging", "intermediate", "marts")


def prepare(client: "Client", settings: Settings) -> None:
    """Create missing databases in ClickHouse and attach the lake; repeating it is cheap.

    The lake is reattached only if its address or credentials have changed, as those of the embedded
    services may between starts.

    Args:
        client: Connection of the administrator.
        settings: Address and credentials of the lake.

    Raises:
        CatalogUnavailable: The catalog does not answer (only if ClickHouse cannot log in to it).
        ServiceError: ClickHouse refuses a statement.
    """
    for layer in LAYERS:
        _run(client, f"CREATE DATABASE IF NOT EXISTS `{layer}`", f"create database {layer}")
    if settings.catalog.engines_can_log_in:
        _attach_catalog(client, settings)
    else:
        _attach_tables(client, settings)


def _attach_catalog(client: "Client", settings: Settings) -> None:
    statement = lake_database(settings.catalog, settings.s3, name=LAKE)
    # The comment shows whether the attachment is current. The hash is keyed, because anyone who
    # can list databases can read it, and the statement contains the reader's secret.
    key = settings.clickhouse.admin_password.get_secret_value().encode()[:64]
    mark = blake2b(statement.encode(), key=key, digest_size=16).hexdigest()
    if _attached(client)[1] == mark:
        return
    _run(client, f"DROP DATABASE IF EXISTS `{LAKE}`", "detach the lake")
    marked = lake_database(settings.catalog, settings.s3, name=LAKE, comment=mark)
    _run(client, marked, "attach the lake")


def _attach_tables(client: "Client", settings: Settings) -> None:
    from catalog.connect import open_catalog

    opened = open_catalog(settings.catalog, settings.s3, read_only=True)
    if _attached(client)[0] == "DataLakeCatalog":
        # The lake was attached from a REST catalog before.
        _run(client, f"DROP DATABASE `{LAKE}`", "detach the lake")
    for statement in pinned_tables(opened, settings.s3, name=LAKE):
        _run(client, statement, "attach the lake's tables")


def _attached(client: "Client") -> tuple[str, str]:
    """Engine and comment of the lake's database; empty if there is none."""
    rows = client.query(
        "SELECT engine, comment FROM system.databases WHERE name = {name:String}",
        parameters={"name": LAKE},
    ).result_rows
    return (str(rows[0][0]), str(rows[0][1])) if rows else ("", "")


def _run(client: "Client", statement: str, purpose: str) -> None:
    from clickhouse_connect.driver.exceptions import Error

    try:
        client.command(statement, settings=EXPERIMENTAL_SETTINGS)
    except Error as error:
        # The server's message may quote the statement, which contains the lake's secret.
        text = str(error)
        reason = text if "ENGINE" not in text else f"{type(error).__name__} (see the server's log)"
        raise ServiceError(
            f"ClickHouse could not {purpose}: {reason}. Check that the account "
            "WEEKAHEAD_CLICKHOUSE__ADMIN_USER may create databases."
        ) from None
