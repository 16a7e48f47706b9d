"""``KILL QUERY``, answered from this server's own list of queries.

The engine has its own query ids and only one user, so its ``KILL QUERY`` cannot find the ids that
clients use. The engine evaluates the condition over the list as a table.
"""

from __future__ import annotations

import time
from typing import Final

from deploy.chserver.auth import User
from deploy.chserver.engine import Connection, escape, quote
from deploy.chserver.errors import ClickHouseError
from deploy.chserver.execution import Response, Statement, execute
from deploy.chserver.queries import QueryRegistry
from deploy.chserver.statements import tokens

# The longest wait of SYNC, and the time limit of its condition.
_SYNC_SECONDS: Final = 30.0
_CONDITION_SECONDS: Final = 5
_COLUMNS: Final = "query_id String, user String, query String, elapsed Float64"


def kill_statement(
    registry: QueryRegistry,
    connection: Connection,
    user: User,
    statement: Statement,
    response: Response,
) -> None:
    """Stop the queries that match the statement's condition, and send their list.

    An admin may stop all queries, others only their own. The statement is not on the list, and
    takes no slot that queries need. ``SYNC`` waits up to half a minute for the queries to end.

    Args:
        registry: The running queries.
        connection: The connection that evaluates the condition.
        user: Who sends the statement.
        statement: The statement.
        response: Receives the list.

    Raises:
        ClickHouseError: The statement is not ``KILL QUERY WHERE condition [SYNC|ASYNC|TEST]``.
    """
    condition, mode = _parse(statement.sql.encode("utf-8", "replace"))
    now = time.monotonic()
    queries = registry.running(None if user.role == "admin" else user.name)
    rows = [
        f"({quote(q.query_id)}, {quote(q.user)}, {quote(q.text)}, {now - q.started:.3f})"
        for q in queries
    ]
    source = f"values({quote(_COLUMNS)}, {', '.join(rows)})" if rows else f"null({quote(_COLUMNS)})"
    picked = (
        connection.run(
            f"SELECT query_id FROM {source} WHERE {condition} "  # noqa: S608 (the user's own)
            f"SETTINGS max_execution_time = {_CONDITION_SECONDS}",
            "TabSeparated",
            statement.params,
        )
        .bytes()
        .decode()
        .split("\n")
    )
    chosen = [q for q in queries if escape(q.query_id) in picked]
    if mode != "TEST":
        registry.stop(chosen, f"killed by {user.name}")
    last = time.monotonic() + _SYNC_SECONDS
    while mode == "SYNC" and time.monotonic() < last:
        if not any(q in registry.running() for q in chosen):
            break
        time.sleep(0.05)
    ids = ", ".join(quote(q.query_id) for q in chosen) or "''"
    listed = f"FROM {source} WHERE query_id IN ({ids})"
    execute(
        connection,
        Statement(
            f"SELECT 'waiting' AS kill_status, query_id, user, query {listed}",
            statement.output,
            reads=True,
            selects=True,
        ),
        response,
    )


def _parse(sql: bytes) -> tuple[str, str]:
    stream = list(tokens(sql))
    if len(stream) < 4 or not stream[2].is_word(b"WHERE"):
        raise ClickHouseError(62, "Syntax error: expected KILL QUERY WHERE condition")
    end, mode = len(sql), "ASYNC"
    if stream[-2].is_word(b"FORMAT"):
        end = stream[-2].start
        stream = stream[:-2]
    if stream[-1].is_word(b"SYNC", b"ASYNC", b"TEST"):
        end, mode = stream[-1].start, stream[-1].text.decode().upper()
    return sql[stream[2].end : end].decode("utf-8", "replace"), mode
