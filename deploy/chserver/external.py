"""Tables that come with a request ("external data for query processing")."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from deploy.chserver.engine import Connection, quote, quote_name
from deploy.chserver.guard import Guard, check_structure
from deploy.chserver.request import External


@contextmanager
def external_tables(
    connection: Connection, tables: Sequence[External], guard: Guard
) -> Iterator[None]:
    """Provide the request's external tables as temporary tables while it runs.

    Args:
        connection: The connection of the request.
        tables: The tables.
        guard: Checks their formats.

    Raises:
        ClickHouseError: ACCESS_DENIED, for a forbidden format or a structure that could evaluate an
            expression.
    """
    if not tables:
        yield
        return
    for table in tables:
        guard.check_format(connection.role, table.format)
        if connection.role != "admin":
            check_structure(table.structure)
    try:
        # A reader may not create tables, so the admin does, from quoted structures only.
        connection.run("SET ROLE admin")
        try:
            for table in tables:
                columns = f"SELECT * FROM null({quote(table.structure)})"  # noqa: S608 (quoted)
                connection.run(
                    f"CREATE TEMPORARY TABLE {quote_name(table.name)} ENGINE = Memory AS {columns}"
                )
                connection.insert(
                    f"INSERT INTO {quote_name(table.name)}", table.format, iter((table.data,))
                )
        finally:
            connection.restore_role()
        yield
    finally:
        for table in tables:
            connection.run(f"DROP TEMPORARY TABLE IF EXISTS {quote_name(table.name)}")
