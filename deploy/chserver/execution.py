"""Runs one statement on a connection and sends its result to the client."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from deploy.chserver.blocks import BlockEncoder
from deploy.chserver.compression import Chain, Encoder, choose_encoder
from deploy.chserver.engine import Connection, Progress, QueryResult
from deploy.chserver.errors import ClickHouseError
from deploy.chserver.formats import Joiner, content_type, joiner
from deploy.chserver.native import upgraded
from deploy.chserver.request import HttpQuery
from deploy.chserver.wire import Headers, HttpConnection


class Response:
    """The response to a query: headers, body, and errors before or during it."""

    def __init__(self, http: HttpConnection, query: HttpQuery, timezone: str, version: str) -> None:
        self._http = http
        self._query = query
        self._timezone = timezone
        self._version = version
        self._tag = secrets.token_hex(8)
        self._encoder: Encoder = Chain(())
        self._lock = threading.Lock()
        self._open = False

    def progress(self, values: Progress) -> None:
        """Send a progress header while the head is still open."""
        with self._lock:
            if not self._open:
                self._http.send_early_head(200, ("X-ClickHouse-Progress", _summary(values)))

    def start(self, output: str | None, summary: Progress | None) -> None:
        """Send the head of a result.

        Args:
            output: Format of the result; None if there is none.
            summary: Counts for the header X-ClickHouse-Summary; None omits it.
        """
        headers: Headers = [("Content-Type", content_type(output)), *self._common()]
        headers.append(("X-ClickHouse-Exception-Tag", self._tag))
        if output:
            headers.append(("X-ClickHouse-Format", output))
        if summary is not None:
            headers.append(("X-ClickHouse-Summary", _summary(summary)))
        encoders: list[Encoder] = []
        if self._query.flag("compress"):
            method = self._query.params.get("network_compression_method", "LZ4")
            encoders.append(BlockEncoder(method))
        if self._query.flag("enable_http_compression"):
            chosen = choose_encoder(self._query.headers.get("accept-encoding", ""))
            if chosen:
                encoders.append(chosen[1])
                headers.append(("Content-Encoding", chosen[0]))
        self._encoder = Chain(encoders)
        with self._lock:
            self._open = True
            self._http.start(200, headers)

    def write(self, data: bytes) -> None:
        """Send a piece of the result."""
        if data := self._encoder.compress(data):
            self._http.write(data)

    def finish(self) -> None:
        """End the response.

        Call it only after everything that the request held has been released, because the client
        may send its next request at once.
        """
        if rest := self._encoder.flush():
            self._http.write(rest)
        self._http.finish()

    def fail(self, error: ClickHouseError) -> None:
        """Report ``error``: as a status before the result, as a tagged block within it.

        The block has the form of ClickHouse 25.11 and later (documentation of the HTTP interface,
        "HTTP response codes caveats"). As there, the response then ends without its last chunk, so
        that a client that does not know the tag also notices.
        """
        message = f"{error} (version {self._version} (chDB))\n".encode("utf-8", "replace")
        if self._open:
            tag = self._tag.encode()
            self.write(
                b"\r\n__exception__\r\n"
                + tag
                + b"\r\n"
                + message
                + f"{len(message)} ".encode()
                + tag
                + b"\r\n__exception__\r\n"
            )
            if rest := self._encoder.flush():
                self._http.write(rest)
            self._http.abort()
            return
        headers = [
            ("Content-Type", "text/plain; charset=UTF-8"),
            *self._common(),
            ("X-ClickHouse-Exception-Code", str(error.code)),
        ]
        if error.http_status == 401:
            headers.append(("WWW-Authenticate", 'Basic realm="ClickHouse server HTTP API"'))
        with self._lock:
            self._open = True
            self._http.respond(error.http_status, headers, message)

    def _common(self) -> Headers:
        return [
            ("X-ClickHouse-Server-Display-Name", "weekahead"),
            ("X-ClickHouse-Query-Id", self._query.query_id),
            ("X-ClickHouse-Timezone", self._timezone),
        ]


@dataclass
class Statement:
    """A statement ready to run.

    Attributes:
        sql: The statement; of an INSERT, without its data.
        output: Format of the result.
        reads: Whether it only reads.
        selects: Whether it is a SELECT, whose result can be streamed.
        params: Values of ``{name:Type}`` placeholders.
        settings: Settings that the request changes.
        input_format: Format of an INSERT's data.
        data: The data in pieces.
        query: The statement without its FORMAT clause, as the engine's parser prints it.
        revision: The protocol version for the format Native; 0 for the oldest.
        types: Returns the types of the result's columns; called only if needed.
    """

    sql: str
    output: str
    reads: bool
    selects: bool
    params: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    input_format: str | None = None
    data: Iterator[bytes] = field(default_factory=lambda: iter(()))
    query: str = ""
    revision: int = 0
    types: Callable[[], Sequence[str]] = tuple

    def upgraded(self, data: bytes, rows: int) -> bytes:
        """Convert a part of the result to the client's protocol version.

        Args:
            data: Whole blocks in the format of the result.
            rows: Number of their rows.

        Returns:
            The blocks; changed only in the format Native.

        Raises:
            ClickHouseError: NOT_IMPLEMENTED, for a type that cannot be converted.
        """
        if self.revision and self.output.lower() == "native":
            return upgraded(data, rows, self.revision, self.types)
        return data


def execute(
    connection: Connection, statement: Statement, response: Response, whole: bool = False
) -> None:
    """Run ``statement`` and send the client its result except for the end.

    Args:
        connection: The connection to run it on.
        statement: The statement.
        response: Receives the result.
        whole: Send nothing before the result is complete (``wait_end_of_query``).

    Raises:
        ClickHouseError: The engine's error.
        ClientGone: The client disconnected.
    """
    if statement.input_format is not None:
        _insert(connection, statement, statement.input_format, response)
    elif statement.selects and not whole and (join := joiner(statement.output)):
        _stream(connection, statement, join, response)
    else:
        _run(connection, statement, response)


def _insert(
    connection: Connection, statement: Statement, input_format: str, response: Response
) -> None:
    started = time.monotonic_ns()
    connection.set_params(statement.params)
    result = connection.insert(statement.sql, input_format, statement.data)
    response.start(
        None,
        {
            "read_rows": result.rows_written(),
            "read_bytes": result.bytes_written(),
            "written_rows": result.rows_written(),
            "written_bytes": result.bytes_written(),
            "result_rows": result.rows_written(),
            "result_bytes": result.bytes_written(),
            "elapsed_ns": time.monotonic_ns() - started,
        },
    )


def _stream(connection: Connection, statement: Statement, join: Joiner, response: Response) -> None:
    started = time.monotonic_ns()
    first = True
    blocks = connection.stream(statement.sql, statement.output, statement.params)
    try:
        for block in blocks:
            data = statement.upgraded(block.bytes(), block.rows_read())
            if first:
                response.start(statement.output, _figures(block, started))
            elif not block.rows_read():
                continue
            response.write(join(data, first))
            first = False
    finally:
        blocks.close()
    if first:
        response.start(statement.output, None)


def _run(connection: Connection, statement: Statement, response: Response) -> None:
    started = time.monotonic_ns()
    result = connection.run(statement.sql, statement.output, statement.params)
    size = result.size()
    data = statement.upgraded(result.bytes(), result.rows_read()) if size else b""
    output = statement.output if statement.reads or size else None
    response.start(output, _figures(result, started))
    if data:
        response.write(data)


def _figures(result: QueryResult, started: int) -> dict[str, int]:
    return {
        "read_rows": result.storage_rows_read(),
        "read_bytes": result.storage_bytes_read(),
        "written_rows": result.rows_written(),
        "written_bytes": result.bytes_written(),
        "result_rows": result.rows_read(),
        "result_bytes": result.bytes_read(),
        "elapsed_ns": time.monotonic_ns() - started,
    }


def _summary(values: Progress) -> str:
    return json.dumps({name: str(value) for name, value in values.items()})
