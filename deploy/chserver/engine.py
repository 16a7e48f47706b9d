"""The embedded engine: chDB connections, each bound to one role."""

from __future__ import annotations

import re
import threading
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Protocol, cast

from deploy.chserver.engine_config import EngineLimits, role_settings
from deploy.chserver.errors import ClickHouseError, with_advice
from deploy.chserver.guard import Names

Progress = Mapping[str, int]


class QueryResult(Protocol):
    """chDB's result of a statement."""

    def bytes(self) -> bytes:
        """The formatted result."""
        ...

    def size(self) -> int:
        """Size of the formatted result in bytes."""
        ...

    def rows_read(self) -> int:
        """Rows of the result."""
        ...

    def bytes_read(self) -> int:
        """Size of the result in the engine's own representation, in bytes."""
        ...

    def storage_rows_read(self) -> int:
        """Rows read from tables."""
        ...

    def storage_bytes_read(self) -> int:
        """Bytes read from tables."""
        ...

    def rows_written(self) -> int:
        """Rows written to tables."""
        ...

    def bytes_written(self) -> int:
        """Bytes written to tables."""
        ...


class Engine:
    """The ClickHouse engine of this process; only one process may use a data directory."""

    def __init__(self, data: Path, config: Path, limits: EngineLimits) -> None:
        from chdb import _chdb  # half a second and 250 MB: only when an engine is wanted

        self._connect: Any = _chdb.connect  # type: ignore[attr-defined]
        self._dsn = f"{data}?config-file={config}"
        self.memory_setting = limits.memory_setting
        self.max_memory = limits.max_memory
        self._settings = {
            role: {**values, **limits.spilling} for role, values in role_settings().items()
        }
        try:
            self._root = self._connect(self._dsn)
        except Exception as error:
            raise ClickHouseError.from_engine(error) from error
        self._control = Connection(self, "admin")
        self._control_lock = threading.Lock()
        self.version = self._scalar("SELECT version()")
        self.timezone = self._scalar("SELECT timezone()")
        self.names = Names(
            functions=self._list("SELECT lower(name) FROM system.functions"),
            settings=self._list(
                "SELECT name FROM system.settings UNION DISTINCT "
                "SELECT name FROM system.merge_tree_settings"
            ),
            system=self._list("SELECT name FROM system.tables WHERE database = 'system'"),
        )

    def open_raw(self) -> Any:
        """Open a chDB connection; it has all roles until one is set."""
        return self._connect(self._dsn)

    def profile(self, role: str) -> dict[str, str]:
        """Return the settings that a connection of ``role`` starts with."""
        return self._settings[role]

    def kill(self, token: str) -> None:
        """Cancel the query with the log comment ``token``."""
        with self._control_lock:
            self._control.run(
                "KILL QUERY WHERE endsWith(Settings['log_comment'], {token:String}) ASYNC",
                params={"token": token},
            )

    def memory(self) -> dict[str, int]:
        """Return the bytes that running queries hold, by token; those without one under ""."""
        rows = self._rows(
            # Only the token, because a writer may put anything else into the comment.
            "SELECT extract(Settings['log_comment'], 'chserver:[-0-9a-f]{36}$') AS token, "
            "sum(memory_usage) FROM system.processes GROUP BY token"
        )
        return {token: int(held) for token, held in rows}

    def metrics(self) -> dict[str, float]:
        """Return the engine's own gauges for the metrics page."""
        rows = self._rows(
            "SELECT metric, value FROM system.metrics "
            "WHERE metric IN ('MemoryTracking', 'Query', 'Merge', 'PartsActive')"
        )
        return {name: float(value) for name, value in rows}

    def close(self) -> None:
        """Close the engine and flush its data."""
        self._control.close()
        self._root.close()

    def _rows(self, sql: str) -> list[list[str]]:
        with self._control_lock:
            text = self._control.run(sql).bytes()
        return [line.split("\t") for line in text.decode().splitlines()]

    def _list(self, sql: str) -> frozenset[str]:
        return frozenset(self._scalar(sql).split("\n"))

    def _scalar(self, sql: str) -> str:
        return self._control.run(sql, "TSVRaw").bytes().decode().strip()


class Connection:
    """One chDB connection: its role, settings, current database and temporary tables.

    It runs one statement at a time; chDB releases the GIL while it works.
    """

    def __init__(self, engine: Engine, role: str) -> None:
        self.role = role
        self._memory_setting = engine.memory_setting
        self._conn = engine.open_raw()
        # Set the profile last: its constraints would also apply to its own values.
        self.run(f"SET ROLE {role}")
        if values := engine.profile(role):
            self.run("SET " + ", ".join(f"{k} = {quote(v)}" for k, v in values.items()))
        self.run(f"SET profile = '{role}'")

    def run(
        self, sql: str, output: str = "TabSeparated", params: Mapping[str, str] | None = None
    ) -> QueryResult:
        """Run a statement to its end.

        Args:
            sql: One statement.
            output: Format of the result.
            params: Values of ``{name:Type}`` placeholders, escaped like TabSeparated.

        Returns:
            The whole result, formatted.

        Raises:
            ClickHouseError: The engine's error.
        """
        try:
            return cast(
                QueryResult, self._conn.query(raw(sql), output, params=_texts(params or {}))
            )
        except Exception as error:
            raise self._failure(error) from error

    def stream(
        self, sql: str, output: str, params: Mapping[str, str]
    ) -> Generator[QueryResult, None, None]:
        """Run a SELECT and yield its result in blocks, at least one.

        Args:
            sql: One SELECT statement.
            output: Format of the blocks.
            params: Values of ``{name:Type}`` placeholders, escaped like TabSeparated.

        Yields:
            Blocks; each is formatted like a whole result.

        Raises:
            ClickHouseError: The engine's error, possibly in the middle of the result.
        """
        try:
            stream = self._conn.send_query(raw(sql), output, params=_texts(params))
        except Exception as error:
            raise self._failure(error) from error
        finished = False
        try:
            while not finished:
                block = self._conn.streaming_fetch_result(stream)
                finished = block is None or block.rows_read() == 0
                if block is not None:
                    yield block
        except GeneratorExit:
            raise
        except Exception as error:
            finished = True
            raise self._failure(error) from error
        finally:
            if not finished:
                self._conn.streaming_cancel_query(stream)

    def set_params(self, params: Mapping[str, str]) -> None:
        """Set parameters for an INSERT with data, because chDB passes them only to queries.

        Raises:
            ClickHouseError: A name is not an identifier.
        """
        for name in params:
            if not _NAME.fullmatch(name):
                raise ClickHouseError(36, f"The query parameter {name[:40]!r} has no proper name")
        if params:
            values = (f"param_{name} = {quote(value)}" for name, value in params.items())
            self.run(f"SET {', '.join(values)}")

    def insert(self, statement: str, input_format: str, data: Iterator[bytes]) -> QueryResult:
        """Insert data piece by piece; it is in the table when this returns.

        Args:
            statement: The INSERT up to, but excluding, VALUES or FORMAT.
            input_format: Format of the data.
            data: The data in pieces of any size.

        Returns:
            Counts of rows and bytes written.

        Raises:
            ClickHouseError: The engine's error, or one raised while reading the data.
        """
        try:
            handle = self._conn.send_insert(raw(statement), input_format)
        except Exception as error:
            raise self._failure(error) from error
        done = False
        try:
            for piece in data:
                self._call(self._conn.insert_append, handle, piece)
            done = True
            return cast(QueryResult, self._call(self._conn.insert_done, handle))
        finally:
            if not done:
                self._cancel_insert(handle)

    def _cancel_insert(self, handle: object) -> None:
        try:
            self._conn.insert_cancel(handle)
        except RuntimeError:
            # The engine has already aborted the insert; the client gets the original error.
            return

    def _call(self, function: Any, *arguments: object) -> object:
        try:
            return function(*arguments)
        except Exception as error:
            raise self._failure(error) from error

    def _failure(self, error: Exception) -> ClickHouseError:
        return with_advice(ClickHouseError.from_engine(error), self._memory_setting)

    def classify(self, sql: str) -> str:
        """Return the engine's own class of a statement: READ_ONLY, MUTATING, CONTROL, ..."""
        return str(self._conn.classify_query(raw(sql))["query_class"].name)

    def restore_role(self) -> None:
        """Return to the connection's own role; if that fails, close it."""
        try:
            self.run(f"SET ROLE {self.role}")
        except ClickHouseError:
            self.close()
            raise

    def on_progress(self, callback: Any) -> None:
        """Call ``callback`` with progress about ten times a second; ``None`` stops it."""
        self._conn.set_progress_callback(callback)

    def close(self) -> None:
        """Close the connection and drop its temporary tables."""
        self._conn.close()


def raw(sql: str) -> bytes:
    """Return a statement's original bytes; strings in it need not be UTF-8."""
    return sql.encode("utf-8", "surrogateescape")


def _texts(params: Mapping[str, str]) -> dict[str, str]:
    for name, value in params.items():
        if not value.isascii() and not is_text(value):
            raise ClickHouseError(36, f"The query parameter {name[:40]!r} is not UTF-8")
    return dict(params)


def is_text(value: str) -> bool:
    """Tell whether ``value`` was decoded from valid UTF-8."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\\0"})


def escape(value: str) -> str:
    """Escape a query parameter's value, which the engine reads as TabSeparated."""
    return value.translate(_ESCAPES)


def quote(value: str) -> str:
    """Return ``value`` as an SQL string."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'").replace("\0", "\\0") + "'"


def quote_name(name: str) -> str:
    """Return ``name`` as a quoted SQL identifier."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"
