"""Sessions: a connection, with its state, that a client keeps over several requests."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from deploy.chserver.auth import User
from deploy.chserver.engine import Connection, Engine, quote, quote_name
from deploy.chserver.errors import ClickHouseError

_MAX_SESSIONS: Final = 512
_MAX_TIMEOUT: Final = 3600.0


class Session:
    """A connection, and the changes that requests made to it temporarily."""

    def __init__(self, engine: Engine, user: User, *, lasting: bool = False) -> None:
        self.connection = Connection(engine, user.role)
        self.lasting = lasting
        self.user = user
        self.timeout = 60.0
        self.expires = 0.0
        self.lock = threading.Lock()
        self._home = self._current = "default"
        self._overrides: dict[str, tuple[str, str]] = {}

    def apply(self, settings: Mapping[str, str], database: str | None) -> None:
        """Apply settings and database to the next statement only.

        Args:
            settings: Values by name; settings of earlier requests are reset.
            database: Database for unqualified names; None means the session's own.

        Raises:
            ClickHouseError: A setting is unknown or not allowed for the role.
        """
        gone = [name for name in self._overrides if name not in settings]
        changed = {
            name: value
            for name, value in settings.items()
            if name not in self._overrides or self._overrides[name][0] != value
        }
        if gone:
            self.connection.run(
                "SET " + ", ".join(f"{name} = {self._overrides[name][1]}" for name in gone)
            )
            for name in gone:
                del self._overrides[name]
        if changed:
            self._override(changed)
        if (database or self._home) != self._current:
            self._use(database or self._home)

    @property
    def database(self) -> str:
        """The current database for unqualified names."""
        return self._current

    def _use(self, database: str) -> None:
        statement = f"USE {quote_name(database)}"
        if database == "system" and self.user.role != "admin":
            # No role may use this database, but each may read some of its tables; the guard checks.
            self.connection.run("SET ROLE admin")
            try:
                self.connection.run(statement)
            finally:
                self.connection.restore_role()
        else:
            self.connection.run(statement)
        self._current = database

    def _override(self, changed: Mapping[str, str]) -> None:
        for name in changed:
            if not name.replace("_", "a").isalnum() or not name.isascii():
                raise ClickHouseError(115, f"Unknown setting '{name}'")
        new = [name for name in changed if name not in self._overrides]
        before = self._values(new)
        self.connection.run(
            "SET " + ", ".join(f"{name} = {quote(value)}" for name, value in changed.items())
        )
        for name, value in changed.items():
            restore = self._overrides[name][1] if name in self._overrides else before[name]
            self._overrides[name] = (value, restore)

    def _values(self, names: list[str]) -> dict[str, str]:
        """Return SQL values that restore each setting; DEFAULT for those that are not set."""
        if not names:
            return {}
        if not self.lasting:
            # It ends with its request; to look the values up would cost as much as to answer.
            return dict.fromkeys(names, "DEFAULT")
        result = self.connection.run(
            "SELECT name, value FROM system.settings "
            "WHERE changed AND has({names:Array(String)}, name)",
            "JSONCompactEachRow",
            {"names": f"[{', '.join(quote(name) for name in names)}]"},
        )
        rows = [json.loads(line) for line in result.bytes().splitlines()]
        return {**dict.fromkeys(names, "DEFAULT"), **{name: quote(value) for name, value in rows}}

    def after_use(self) -> None:
        """Remember the database that a USE statement chose."""
        result = self.connection.run("SELECT currentDatabase()", "TSVRaw")
        self._home = self._current = result.bytes().decode().rstrip("\n")

    def after_set(self) -> None:
        """Keep the settings that a SET statement changed."""
        self._overrides.clear()


class Sessions:
    """All sessions by user and name; expired ones are closed."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._sessions: dict[tuple[str, str], Session] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._sessions)

    @contextmanager
    def use(
        self, user: User, name: str | None, timeout: float = 60.0, check: bool = False
    ) -> Iterator[Session]:
        """Lend a session to a request.

        Args:
            user: The account; names are per user.
            name: Name of the session; None or empty gives a new one that ends with the request.
            timeout: Seconds without a request after which it expires; at most an hour.
            check: Require that the session exists.

        Yields:
            The session, locked for this request.

        Raises:
            ClickHouseError: SESSION_IS_LOCKED by another request, or SESSION_NOT_FOUND.
        """
        if not name:
            session = Session(self._engine, user)
            try:
                yield session
            finally:
                session.connection.close()
            return
        session = self._take(user, name, min(timeout, _MAX_TIMEOUT), check)
        try:
            yield session
        finally:
            session.expires = time.monotonic() + session.timeout
            session.lock.release()

    def _take(self, user: User, name: str, timeout: float, check: bool) -> Session:
        key = (user.name, name)
        with self._lock:
            session = self._sessions.get(key)
            if session is None:
                if check:
                    raise ClickHouseError(372, f"Session {name} not found")
                if len(self._sessions) >= _MAX_SESSIONS:
                    raise ClickHouseError(202, f"Too many sessions. Maximum: {_MAX_SESSIONS}")
                session = Session(self._engine, user, lasting=True)
                self._sessions[key] = session
            if not session.lock.acquire(blocking=False):
                raise ClickHouseError(373, f"Session {name} is locked by a concurrent client")
            session.timeout = timeout
        return session

    def column_types(
        self,
        user: User,
        query: str,
        params: Mapping[str, str],
        settings: Mapping[str, str],
        database: str,
    ) -> list[str]:
        """Return the types of a query's columns.

        Uses a separate connection, because the query's own is busy; its temporary tables are
        unknown there.

        Args:
            user: The account.
            query: A SELECT statement without FORMAT.
            params: Values of ``{name:Type}`` placeholders.
            settings: Settings of the request.
            database: Database for unqualified names.

        Returns:
            One type per column; empty if they cannot be determined.
        """
        session = Session(self._engine, user)
        try:
            session.apply(settings, database)
            described = session.connection.run(
                f"DESCRIBE TABLE ({query})", "JSONCompactEachRow", params
            )
        except ClickHouseError:
            return []
        finally:
            session.connection.close()
        return [json.loads(line)[1] for line in described.bytes().splitlines()]

    def forget(self, user: User, name: str) -> None:
        """Close a session after its request (``close_session=1``).

        Args:
            user: The account.
            name: Name of the session.
        """
        with self._lock:
            session = self._sessions.pop((user.name, name), None)
        if session:
            session.connection.close()

    def expire(self, everything: bool = False) -> None:
        """Close the sessions that have expired, or all of them."""
        now = time.monotonic()
        with self._lock:
            over = [
                (key, session)
                for key, session in self._sessions.items()
                if (everything or session.expires < now) and session.lock.acquire(blocking=False)
            ]
            for key, _ in over:
                del self._sessions[key]
        for _, session in over:
            session.connection.close()
