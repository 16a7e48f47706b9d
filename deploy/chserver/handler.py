"""Answers requests: health, metrics, queries."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import h11

from deploy.chserver.auth import User, Users
from deploy.chserver.engine import Engine
from deploy.chserver.errors import ClickHouseError
from deploy.chserver.execution import Response, Statement, execute
from deploy.chserver.external import external_tables
from deploy.chserver.guard import Guard, check_parameters
from deploy.chserver.incoming import HandlerLimits, read_statement
from deploy.chserver.kill import kill_statement
from deploy.chserver.observe import AccessLog, Metrics, Outcome
from deploy.chserver.queries import QueryRegistry, RunningQuery
from deploy.chserver.request import HttpQuery
from deploy.chserver.sessions import Session, Sessions
from deploy.chserver.statements import first_words, output_format
from deploy.chserver.wire import HttpConnection

_PIECE: Final = 256 * 1024
# What the log and the metrics may call a statement; anything else could be somebody's secret.
_KINDS: Final = frozenset(
    [
        "ALTER",
        "ATTACH",
        "CHECK",
        "CREATE",
        "DELETE",
        "DESC",
        "DESCRIBE",
        "DETACH",
        "DROP",
        "EXCHANGE",
        "EXISTS",
        "EXPLAIN",
        "GRANT",
        "INSERT",
        "KILL",
        "OPTIMIZE",
        "RENAME",
        "REVOKE",
        "SELECT",
        "SET",
        "SHOW",
        "SYSTEM",
        "TRUNCATE",
        "UPDATE",
        "USE",
        "WITH",
    ]
)


class Handler:
    """Serves requests; one for the whole server."""

    def __init__(
        self, engine: Engine, users: Users, access_log: AccessLog, limits: HandlerLimits
    ) -> None:
        self.registry = QueryRegistry(engine.kill)
        self.sessions = Sessions(engine)
        self.metrics = Metrics()
        self._engine = engine
        self._guard = Guard(engine.table_functions)
        self._users = users
        self._log = access_log
        self._limits = limits
        self._slots = threading.BoundedSemaphore(limits.queries)

    def handle(self, http: HttpConnection, head: h11.Request) -> None:
        """Answer one request.

        Raises:
            ClientGone: There is nobody left to answer.
            BadRequest: The request's address cannot be read.
        """
        query = HttpQuery.parse(
            head.method.decode("ascii"), head.target, [(n, v) for n, v in head.headers]
        )
        with self._log.watch(http, query, self.metrics) as outcome:
            if query.path in ("/ping", "/replicas_status"):
                _text(http, 200, b"Ok.\n")
            elif query.path == "/metrics":
                _text(http, 200, self._metrics_page())
            elif query.path != "/":
                _text(http, 404, f"There is no handle {query.path[:100]}\n".encode())
            elif query.method not in ("GET", "HEAD", "POST", "PUT"):
                _text(http, 501, b"Use GET, HEAD, POST or PUT\n")
            elif query.method in ("GET", "HEAD") and not query.params:
                _text(http, 200, b"Ok.\n")
            else:
                self._answer_query(http, query, outcome)

    def _metrics_page(self) -> bytes:
        return self.metrics.page(
            {
                "queries_running": len(self.registry),
                "sessions": len(self.sessions),
                **{f"engine_{k}": v for k, v in self._engine.metrics().items()},
            }
        )

    def _answer_query(self, http: HttpConnection, query: HttpQuery, outcome: Outcome) -> None:
        response = Response(http, query, self._engine.timezone, self._engine.version)
        try:
            outcome.user = query.credentials()[0]
            user = self._users.authenticate(*query.credentials())
            outcome.role = user.role
            with self._slot():
                self._query(http, query, user, response, outcome)
            response.finish()
        except ClickHouseError as error:
            outcome.code = error.code
            response.fail(error)

    @contextmanager
    def _slot(self) -> Iterator[None]:
        if not self._slots.acquire(timeout=self._limits.queue_seconds):
            raise ClickHouseError(
                202, f"Too many simultaneous queries. Maximum: {self._limits.queries}"
            )
        try:
            yield
        finally:
            self._slots.release()

    def _query(
        self,
        http: HttpConnection,
        query: HttpQuery,
        user: User,
        response: Response,
        outcome: Outcome,
    ) -> None:
        if query.flag("compress") or query.flag("decompress"):
            raise ClickHouseError(
                48, "ClickHouse's native block compression is not supported: use Content-Encoding"
            )
        text, insert, data = read_statement(http, query, self._limits)
        kind = " ".join(first_words(text, 1))
        outcome.kind = kind if kind in _KINDS else "OTHER"
        running = RunningQuery(query.query_id, user.name, text.decode("utf-8", "replace")[:4096])
        self.registry.add(running)
        name = query.params.get("session_id")
        try:
            timeout = query.number("session_timeout", 60)
            with self.sessions.use(user, name, timeout, query.flag("session_check")) as session:
                check_parameters(
                    user.role, query.settings, query.database, query.params.get("role")
                )
                comment = query.settings.get("log_comment", "")
                session.apply(
                    {**query.settings, "log_comment": f"{comment} {running.token}".strip()},
                    query.database,
                )
                with external_tables(session.connection, query.external):
                    statement = self._prepare(session, query, user, text, insert, data)
                    self._execute(http, query, session, statement, response, running)
        finally:
            self.registry.remove(running)
        if name and query.flag("close_session"):
            self.sessions.forget(user, name)

    def _prepare(
        self,
        session: Session,
        query: HttpQuery,
        user: User,
        text: bytes,
        input_format: str | None,
        data: Iterator[bytes],
    ) -> Statement:
        """Let the engine parse the statement, and the guard judge it."""
        connection = session.connection
        try:
            sql = text.decode("utf-8").rstrip("; \t\r\n")
        except UnicodeDecodeError as error:
            raise ClickHouseError(62, f"Syntax error: not UTF-8 text: {error}") from error
        if not sql:
            raise ClickHouseError(62, "Syntax error: empty query")
        whole = f"{sql} FORMAT {input_format}" if input_format else sql
        canonical = connection.canonical(whole)
        kind = connection.classify(whole)
        self._guard.check(user.role, canonical, kind, query.query_params)
        words = first_words(canonical.encode())
        reads = kind == "READ_ONLY" or words[:1] in (("USE",), ("SET",))
        if query.method in ("GET", "HEAD") and not reads:
            raise ClickHouseError(
                164, "Cannot execute query in readonly mode: use POST for what changes data"
            )
        wanted = (
            output_format(canonical.encode())
            or query.headers.get("x-clickhouse-format")
            or query.params.get("default_format")
            or "TabSeparated"
        )
        return Statement(
            sql,
            wanted,
            reads=kind == "READ_ONLY",
            selects=words[:1] in (("SELECT",), ("WITH",)),
            params=query.query_params,
            input_format=input_format,
            data=data,
        )

    def _execute(
        self,
        http: HttpConnection,
        query: HttpQuery,
        session: Session,
        statement: Statement,
        response: Response,
        running: RunningQuery,
    ) -> None:
        connection = session.connection
        words = first_words(statement.sql.encode("utf-8", "replace"))
        if words == ("KILL", "QUERY"):
            kill_statement(self.registry, connection, session.user, statement, response)
            return
        running.check()
        running.watched = http.sock if statement.reads else None
        running.in_engine = True
        if query.flag("send_progress_in_http_headers"):
            connection.on_progress(response.progress)
        try:
            execute(connection, statement, response, query.flag("wait_end_of_query"))
        finally:
            running.in_engine = False
            running.watched = None
            connection.on_progress(None)
        if words[:1] == ("USE",):
            session.after_use()
        elif words[:1] == ("SET",):
            session.after_set()


def _text(http: HttpConnection, status: int, body: bytes) -> None:
    while http.read_body():
        if http.bytes_in > _PIECE:
            http.closing = True
            break
    http.respond(status, [("Content-Type", "text/plain; charset=UTF-8")], body)
