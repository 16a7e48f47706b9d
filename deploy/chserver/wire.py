"""One HTTP/1.1 connection over a blocking socket; h11 does the parsing.

Streams request and response bodies, with a deadline on every wait for the client.
"""

from __future__ import annotations

import contextlib
import io
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import h11

from deploy.chserver.errors import BadRequest, ClickHouseError, ClientGone

_RECEIVE: Final = 256 * 1024
_SLICE: Final = 1024 * 1024
_LINGER_BYTES: Final = 8 * 1024 * 1024
_LINGER_SECONDS: Final = 2.0

Headers = list[tuple[str, str]]


@dataclass(frozen=True)
class WireLimits:
    """Time and size limits of a client, in seconds and bytes."""

    idle: float = 60.0
    head: float = 15.0
    body_silence: float = 120.0
    # After the first pause, the average rate in bytes per second below which a body is too slow.
    body_rate: float = 1024.0
    send: float = 120.0
    # ClickHouse's http_max_uri_size is 1 MiB; add room for headers.
    head_bytes: int = 1024 * 1024 + 64 * 1024


class HttpConnection:
    """A client's connection: requests in, responses out, one at a time."""

    def __init__(self, sock: socket.socket, limits: WireLimits) -> None:
        self.sock = sock
        self.peer = _peer(sock)
        self.status = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.response_started = False
        self.closing = False
        self._limits = limits
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.head_bytes)
        self._early_head = b""
        self._head_only = False
        self._asked_at = 0.0
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    # ---- requests

    def next_request(self) -> h11.Request | None:
        """Wait for the head of the next request; ``None`` if the client is done.

        Raises:
            BadRequest: The data is not HTTP, too long, or arrives too slowly.
        """
        if self._h11.our_state is not h11.IDLE:
            if self.closing or self._h11.our_state is not h11.DONE:
                return None
            try:
                self._h11.start_next_cycle()
            except h11.LocalProtocolError:
                return None
        self.bytes_in = self.bytes_out = self.status = 0
        self.response_started = False
        self._early_head = b""
        deadline: float | None = None
        while True:
            try:
                event = self._h11.next_event()
            except h11.RemoteProtocolError as error:
                raise BadRequest(error.error_status_hint, str(error)) from error
            if isinstance(event, h11.Request):
                self._head_only = event.method == b"HEAD"
                self._asked_at = time.monotonic()
                if event.method == b"CONNECT":
                    raise BadRequest(501, "This server is not a proxy")
                # Upgrades are not supported: answer in HTTP, then close.
                self.closing = any(name == b"upgrade" for name, _ in event.headers)
                return event
            if event is not h11.NEED_DATA:
                return None
            if deadline is None and self._h11.trailing_data[0]:
                deadline = time.monotonic() + self._limits.head
            wait = self._limits.idle if deadline is None else deadline - time.monotonic()
            if not self._receive(wait):
                if deadline is None:
                    return None
                raise BadRequest(408, "the request's head did not arrive in time")
            if deadline is None:
                deadline = time.monotonic() + self._limits.head

    def _receive(self, wait: float) -> bool:
        """Feed h11 with received data; False if none arrives within ``wait`` seconds."""
        if wait <= 0:
            return False
        try:
            self.sock.settimeout(wait)
            data = self.sock.recv(_RECEIVE)
        except TimeoutError:
            return False
        except OSError as error:
            raise ClientGone(str(error)) from error
        self.bytes_in += len(data)
        try:
            self._h11.receive_data(data)
        except h11.RemoteProtocolError as error:
            raise BadRequest(error.error_status_hint, str(error)) from error
        return True

    def read_body(self) -> bytes:
        """Return the next piece of the request's body, empty at its end.

        Raises:
            ClickHouseError: The body is cut off, malformed, or pauses for too long.
        """
        while not self.body_is_read():
            try:
                event = self._h11.next_event()
            except h11.RemoteProtocolError as error:
                self.closing = True
                raise ClickHouseError(
                    33, f"Cannot read all of the request body: {error}", "CANNOT_READ_ALL_DATA"
                ) from error
            if isinstance(event, h11.Data):
                if event.data:
                    return bytes(event.data)
            elif event is h11.NEED_DATA:
                if self._h11.they_are_waiting_for_100_continue:
                    self._send(h11.InformationalResponse(status_code=100, headers=[]))
                if not self._receive(self._body_patience()):
                    self.closing = True
                    raise ClickHouseError(209, "Timeout while reading the request body")
            elif not isinstance(event, h11.EndOfMessage):
                # Paused or closed: there will be no more events for this request.
                self.closing = True
                break
        return b""

    def _body_patience(self) -> float:
        """How long to wait for the next piece of the body."""
        limits = self._limits
        due = self._asked_at + limits.body_silence + self.bytes_in / limits.body_rate
        return min(limits.body_silence, due - time.monotonic())

    def body_is_read(self) -> bool:
        """Tell whether the whole request was received."""
        return self._h11.their_state not in (h11.IDLE, h11.SEND_BODY, h11.ERROR)

    # ---- responses

    def send_early_head(self, status: int, header: tuple[str, str]) -> None:
        """Send the status line, if not sent yet, and one header ahead of the others.

        Args:
            status: HTTP status.
            header: Name and value.

        Raises:
            ClientGone: The client disconnected.
        """
        line = b"" if self._early_head else f"HTTP/1.1 {status} OK\r\n".encode()
        self._early_head = self._early_head or line
        self.response_started = True
        self._write(line + f"{header[0]}: {header[1]}\r\n".encode("latin-1", "replace"))

    def start(self, status: int, headers: Headers, length: int | None = None) -> None:
        """Send the head of the response.

        Args:
            status: HTTP status.
            headers: Names and values, without framing.
            length: Size of the body in bytes; None sends it chunked.

        Raises:
            ClientGone: The client disconnected.
        """
        framing = (
            ("Transfer-Encoding", "chunked") if length is None else ("Content-Length", str(length))
        )
        closing: Iterable[tuple[str, str]] = ()
        if self.closing or not self.body_is_read():
            self.closing = True
            closing = (("Connection", "close"),)
        self.response_started = True
        self.status = 200 if self._early_head else status
        self._send(
            h11.Response(
                status_code=status,
                headers=[
                    (name.encode("ascii"), _header_value(value))
                    for name, value in (*headers, framing, *closing)
                ],
                reason=b"OK" if status == 200 else b"Error",
            )
        )

    def write(self, data: bytes | memoryview) -> None:
        """Send a piece of the response's body."""
        if self._head_only:
            return
        view = memoryview(data)
        for start in range(0, len(view), _SLICE):
            self._send(h11.Data(data=bytes(view[start : start + _SLICE])))

    def finish(self) -> None:
        """End the response's body."""
        self._send(h11.EndOfMessage())

    def abort(self) -> None:
        """Abort the response, so that the client cannot mistake it for a complete one."""
        self.closing = True
        self._h11.send_failed()

    def respond(self, status: int, headers: Headers, body: bytes = b"") -> None:
        """Send a complete response.

        Args:
            status: HTTP status.
            headers: Names and values, without framing.
            body: The body.

        Raises:
            ClientGone: The client disconnected.
        """
        self.start(status, headers, len(body))
        self.write(body)
        self.finish()

    def _send(self, event: h11.Event) -> None:
        data = self._h11.send(event) or b""
        if self._early_head and isinstance(event, h11.Response):
            data = data.split(b"\r\n", 1)[1]
        self._write(data)

    def _write(self, data: bytes) -> None:
        if not data:
            return
        try:
            self.sock.settimeout(self._limits.send)
            self.sock.sendall(data)
        except OSError as error:
            self.closing = True
            raise ClientGone(str(error)) from error
        self.bytes_out += len(data)

    def close(self) -> None:
        """Close the socket without destroying a response that is still in transit.

        Closing while the client is sending would reset the connection, and the client would see
        that instead of the error it was sent.
        """
        with contextlib.suppress(OSError):
            if self.bytes_out and self._h11.their_state is not h11.CLOSED:
                self.sock.shutdown(socket.SHUT_WR)
                self._linger()
        self.sock.close()

    def _linger(self) -> None:
        deadline = time.monotonic() + _LINGER_SECONDS
        received = 0
        while received < _LINGER_BYTES and (left := deadline - time.monotonic()) > 0:
            self.sock.settimeout(left)
            data = self.sock.recv(_RECEIVE)
            if not data:
                return
            received += len(data)


class RequestBody(io.RawIOBase):
    """The request's body as a readable file, still compressed."""

    def __init__(self, connection: HttpConnection, limit: int) -> None:
        self._connection = connection
        self._limit = limit
        self._total = 0
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """Tell ``io`` that this file can be read."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill ``buffer`` with available data; 0 at the end of the body."""
        if not self._rest:
            data = self._connection.read_body()
            self._total += len(data)
            if self._total > self._limit:
                self._connection.closing = True
                raise ClickHouseError(
                    223, f"Request body is larger than the limit of {self._limit} bytes"
                )
            self._rest = memoryview(data)
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


def _peer(sock: socket.socket) -> str:
    try:
        return ":".join(str(part) for part in sock.getpeername()[:2])
    except OSError:
        return "?"


def _header_value(value: str) -> bytes:
    """Sanitise a header's value: no line breaks, no control characters."""
    return bytes(c if 32 <= c != 127 else 32 for c in value.encode("utf-8", "replace")).strip()
