"""Runs one statement on a connection and writes its outcome to the client."""

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
    """The answer to a query: headers, body, and errors before or in the middle of it."""

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
        """Send a progress header, as long as the head is not closed."""
        with self._lock:
            if not self._open:
                self._http.send_early_head(200, ("X-ClickHouse-Progress", _summary(values)))

    def start(self, output: str | None, summary: Progress | None) -> None:
        """Send the head of a result in the format ``output``."""
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
        """End the answer.

        Only when everything the request held is free again: the client may go on at once.
        """
        if rest := self._encoder.flush():
            self._http.write(rest)
        self._http.finish()

    def fail(self, error: ClickHouseError) -> None:
        """Report ``error``: as a status before the result, as a tagged block within it.

        The block's form is that of ClickHouse 25.11 and later (documentation of the HTTP
        interface, "HTTP response codes caveats"). As there, the response then breaks off without
        its last chunk, so that a client that does not know the tag notices too.
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
        sql: The statement, of an INSERT without its data.
        output: Format of the result.
        reads: Whether it only reads.
        selects: Whether it is a SELECT, whose result can be streamed.
        settings: What the request changes for it.
        input_format: Format of the data, of an INSERT that carries them.
        data: The data, piece by piece.
        query: The same without its format, as the engine's parser prints it.
        revision: The protocol version for which the format Native is written.
        types: Asks for the types of the result's columns.
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
        """Return a part of the result as the client's protocol version has it."""
        if self.revision and self.output.lower() == "native":
            return upgraded(data, rows, self.revision, self.types)
        return data


def execute(
    connection: Connection, statement: Statement, response: Response, whole: bool = False
) -> None:
    """Run ``statement`` and send the client all of its outcome but the end.

    Args:
        connection: Where it runs.
        statement: What runs.
        response: Takes the result.
        whole: Send nothing before everything is there (``wait_end_of_query``).

    Raises:
        ClickHouseError: What the engine reports.
        ClientGone: The client left.
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
