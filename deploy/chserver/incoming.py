"""Reads the statement and an INSERT's data from a request's URL, form and body."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from deploy.chserver.blocks import BlockReader, Readable
from deploy.chserver.compression import BodyReader
from deploy.chserver.errors import ClickHouseError
from deploy.chserver.request import HttpQuery
from deploy.chserver.statements import find_insert_data
from deploy.chserver.wire import HttpConnection, RequestBody

_PIECE: Final = 256 * 1024
_IN_MEMORY: Final = 16 * 1024**2


@dataclass(frozen=True)
class HandlerLimits:
    """Limits of a request, in bytes, queries and seconds."""

    statement: int = 4 * 1024**2
    body: int = 16 * 1024**3
    form: int = 64 * 1024**2
    queries: int = 16
    queue_seconds: float = 10.0


def read_statement(
    http: HttpConnection, query: HttpQuery, limits: HandlerLimits
) -> tuple[bytes, str | None, Iterator[bytes]]:
    """Read the statement, and for an INSERT with data its format and, lazily, the data.

    Args:
        http: The client's connection, at the start of the body.
        query: The parsed head; form fields are added to it.
        limits: Sizes in bytes.

    Returns:
        The statement, the format of the data (None without data), and the data in pieces.

    Raises:
        ClickHouseError: The request exceeds the limits.
    """
    received = RequestBody(http, limits.body)
    body: Readable = BodyReader(received, query.headers.get("content-encoding", ""))
    if query.flag("decompress"):
        unchecked = query.flag("http_native_compression_disable_checksumming_on_decompress")
        body = BlockReader(body, verify=not unchecked)
    text = query.params.get("query", "").encode("utf-8", "surrogateescape")
    content_type = query.headers.get("content-type", "")
    if content_type.lower().startswith("multipart/form-data"):
        form = _read_up_to(body, limits.form)
        text += query.add_form(content_type, form)
    text += b"\n" if text else b""
    while True:
        insert = find_insert_data(text)
        if insert and (insert.format == "Values" or len(text) > insert.data_start):
            break
        piece = body.read(_PIECE)
        if not piece:
            break
        text += piece
        if len(text) > limits.statement and not find_insert_data(text):
            http.closing = True
            raise ClickHouseError(223, f"The statement is larger than {limits.statement} bytes")
    if insert is None:
        return text.strip(), None, iter(())
    rest = text[insert.data_start :]
    return insert.statement.strip(), insert.format, _pieces(rest, body)


@contextmanager
def spooled(data: Iterator[bytes]) -> Iterator[Iterator[bytes]]:
    """Receive all of an INSERT's data before it occupies a slot; large data goes to disk."""
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as file:
        for piece in data:
            file.write(piece)
        file.seek(0)
        yield iter(lambda: file.read(_PIECE), b"")


def _read_up_to(body: Readable, limit: int) -> bytes:
    whole = bytearray()
    while piece := body.read(_PIECE):
        whole += piece
        if len(whole) > limit:
            raise ClickHouseError(223, f"The form is larger than {limit} bytes")
    return bytes(whole)


def _pieces(rest: bytes, body: Readable) -> Iterator[bytes]:
    if rest:
        yield rest
    while piece := body.read(_PIECE):
        yield piece
