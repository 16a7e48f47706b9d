"""Handles requests: health, metrics, queries."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import Final

import h11

from deploy.chserver.auth import ROLES, User, Users
from deploy.chserver.cage import Cage
from deploy.chserver.engine import Engine, raw
from deploy.chserver.errors import ClickHouseError
from deploy.chserver.execution import Response, Statement, execute
from deploy.chserver.external import external_tables
from deploy.chserver.guard import Guard, check_role
from deploy.chserver.hosts import Hosts
from deploy.chserver.incoming import HandlerLimits, read_statement, spooled
from deploy.chserver.kill import kill_statement
from deploy.chserver.observe import AccessLog, Metrics, Outcome
from deploy.chserver.parser import Parser
from deploy.chserver.queries import QueryRegistry, RunningQuery
from deploy.chserver.request import HttpQuery, is_read_only, narrowed
from deploy.chserver.sessions import Session, Sessions
from deploy.chserver.shares import Shares
from deploy.chserver.statements import first_words
from deploy.chserver.values import filled
from deploy.chserver.wire import Headers, HttpConnection

_LIMIT: Final = re.compile(r"\bmax_execution_time = '?([0-9.]+)")
_NUMBER: Final = re.compile(r"[0-9]+(\.[0-9]+)?")
# Statement kinds that log and metrics may show; any other first word could be a secret.
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
        self,
        engine: Engine,
        users: Users,
        access_log: AccessLog,
        limits: HandlerLimits,
        hosts: Hosts,
        cage: Cage,
    ) -> None:
        self.registry = QueryRegistry(engine.kill, engine.memory, engine.max_memory)
        self.sessions = Sessions(engine)
        self.metrics = Metrics()
        self._engine = engine
        self._guard = Guard(engine.names)
        self._parsers = {role: Parser(engine, role) for role in ROLES}
        self._users = users
        self._log = access_log
        self._limits = limits
        self._hosts = hosts
        self._cage = cage
        self._shares = Shares(limits.queries, limits.queue_seconds)

    def close(self) -> None:
        """Close the shared resources."""
        self.registry.close()
        self.sessions.expire(everything=True)
        for parser in self._parsers.values():
            parser.close()

    def handle(self, http: HttpConnection, head: h11.Request) -> None:
        """Answer one request.

        Args:
            http: The client's connection.
            head: The request line and headers.

        Raises:
            ClientGone: The client disconnected.
            BadRequest: The URL cannot be parsed, or the request is not meant for this server.
        """
        query = HttpQuery.parse(
            head.method.decode("ascii"), head.target, [(n, v) for n, v in head.headers]
        )
        with self._log.watch(http, query, self.metrics) as outcome:
            self._hosts.check(query.headers)
            if query.path in ("/ping", "/replicas_status"):
                _text(http, 200, b"Ok.\n", [("X-Confined", self._confined)])
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

    @property
    def _confined(self) -> str:
        """What the kernel confines, for the operators of this server."""
        parts = {"files": self._cage.files, "network": self._cage.network}
        return ", ".join(name for name, confined in parts.items() if confined) or "nothing"

    def _metrics_page(self) -> bytes:
        return self.metrics.page(
            {
                "queries_running": len(self.registry),
                "sessions": len(self.sessions),
                "confined_files": self._cage.files,
                "confined_network": self._cage.network,
                **{f"engine_{k}": v for k, v in self._engine.metrics().items()},
            }
        )

    def _answer_query(self, http: HttpConnection, query: HttpQuery, outcome: Outcome) -> None:
        response = Response(http, query, self._engine.timezone, self._engine.version)
        try:
            outcome.user = query.credentials()[0]
            user = self._users.authenticate(*query.credentials())
            outcome.role = user.role
            self._query(http, query, user, response, outcome)
            response.finish()
        except ClickHouseError as error:
            outcome.code = error.code
            response.fail(error)

    def _query(
        self,
        http: HttpConnection,
        query: HttpQuery,
        user: User,
        response: Response,
        outcome: Outcome,
    ) -> None:
        text, insert, data = read_statement(http, query, self._limits)
        kind = " ".join(first_words(text, 1))
        outcome.kind = kind if kind in _KINDS else "OTHER"
        statement, canonical = self._prepare(query, user, text, insert)
        name = query.params.get("session_id")
        if insert == "Values" and statement.params:
            data = filled(data, statement.params)
        with spooled(data) as statement.data:
            if first_words(text) == ("KILL", "QUERY"):
                with self._shares.kill(user), self._session(query, user) as session:
                    kill_statement(self.registry, session.connection, user, statement, response)
            else:
                with self._shares.place(user) as place:
                    running = RunningQuery(
                        query.query_id,
                        user.name,
                        user.role == "reader",
                        text.decode("utf-8", "replace")[:4096],
                        self._time_limit(query, user, canonical),
                        place.free_early,
                    )
                    self._run(http, query, user, statement, response, running)
        if name and query.flag("close_session"):
            self.sessions.forget(user, name)

    def _prepare(
        self, query: HttpQuery, user: User, text: bytes, input_format: str | None
    ) -> tuple[Statement, str]:
        """Parse the statement with the engine, and check it and the request."""
        sql = text.decode("utf-8", "surrogateescape").rstrip("; \t\r\n")
        if not sql:
            raise ClickHouseError(62, "Syntax error: empty query")
        whole = f"{sql} FORMAT {input_format}" if input_format else sql
        parsed = self._parsers[user.role].parse(whole)
        check_role(user.role, query.params.get("role"))
        changed = narrowed(query, user.role)
        for name in changed:
            self._guard.check_setting(user.role, name)
        self._guard.check(user.role, parsed.canonical, query.query_params, query.database)
        words = first_words(raw(parsed.canonical))
        reads = parsed.kind == "READ_ONLY"
        if (query.method in ("GET", "HEAD") or is_read_only(query)) and not reads:
            raise ClickHouseError(
                164, "Cannot execute query in readonly mode: use POST for what changes something"
            )
        wanted = (
            parsed.format
            or query.headers.get("x-clickhouse-format")
            or query.params.get("default_format")
            or "TabSeparated"
        )
        self._guard.check_format(user.role, wanted)
        statement = Statement(
            sql,
            wanted,
            reads=reads,
            selects=words[:1] in (("SELECT",), ("WITH",)),
            params=query.query_params,
            input_format=input_format,
            settings=changed,
            query=parsed.query,
            revision=int(query.number("client_protocol_version", 0)),
        )
        return statement, parsed.canonical

    @contextmanager
    def _session(self, query: HttpQuery, user: User) -> Iterator[Session]:
        timeout = query.number("session_timeout", 60)
        check = query.flag("session_check")
        with self.sessions.use(user, query.params.get("session_id"), timeout, check) as session:
            yield session

    def _time_limit(self, query: HttpQuery, user: User, canonical: str) -> float:
        """When the engine should have ended a statement, as far as can be told from the request."""
        given = [self._engine.profile(user.role).get("max_execution_time", "0")]
        given += [query.params.get("max_execution_time", "0"), *_LIMIT.findall(canonical)]
        limits = [float(text) for text in given if _NUMBER.fullmatch(text)]
        return min((limit for limit in limits if limit > 0), default=float("inf"))

    def _run(
        self,
        http: HttpConnection,
        query: HttpQuery,
        user: User,
        statement: Statement,
        response: Response,
        running: RunningQuery,
    ) -> None:
        self.registry.add(running)
        try:
            with self._session(query, user) as session:
                comment = query.params.get("log_comment", "")
                session.apply(
                    {**statement.settings, "log_comment": f"{comment} {running.token}".strip()},
                    query.database,
                )
                statement.types = cache(
                    partial(
                        self.sessions.column_types,
                        user,
                        statement.query,
                        statement.params,
                        statement.settings,
                        session.database,
                    )
                )
                with external_tables(session.connection, query.external, self._guard):
                    self._execute(http, query, session, statement, response, running)
        finally:
            self.registry.remove(running)

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
        running.check()
        running.watched = http.sock if statement.reads else None
        running.in_engine = True
        if query.flag("send_progress_in_http_headers"):
            connection.on_progress(response.progress)
        try:
            execute(connection, statement, response, query.flag("wait_end_of_query"))
        except ClickHouseError as error:
            if error.name == "QUERY_WAS_CANCELLED":
                running.check()  # only the registry knows why
            raise
        finally:
            running.in_engine = False
            running.watched = None
            connection.on_progress(None)
        words = first_words(raw(statement.sql))
        if words[:1] == ("USE",):
            session.after_use()
        elif words[:1] == ("SET",):
            session.after_set()


def _text(http: HttpConnection, status: int, body: bytes, headers: Headers | None = None) -> None:
    # An unread request body closes the connection, so that no time is spent on it.
    http.respond(status, [("Content-Type", "text/plain; charset=UTF-8"), *(headers or [])], body)
