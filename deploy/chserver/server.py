"""Accepts connections, gives each a thread, and drains them on shutdown."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from typing import Final

from deploy.chserver.errors import BadRequest, ClientGone
from deploy.chserver.handler import Handler
from deploy.chserver.wire import HttpConnection, WireLimits

_log = logging.getLogger(__name__)
_TICK: Final = 0.5
_BACKLOG: Final = 128


class Server:
    """The HTTP server on a bound socket."""

    def __init__(
        self,
        listener: socket.socket,
        handler: Handler,
        *,
        max_connections: int = 256,
        drain_seconds: float = 30.0,
        wire: WireLimits | None = None,
    ) -> None:
        self._listener = listener
        self._handler = handler
        self._max_connections = max_connections
        self._drain_seconds = drain_seconds
        self._wire = wire or WireLimits()
        self._stopping = threading.Event()
        self._open: dict[HttpConnection, bool] = {}
        self._lock = threading.Lock()

    def stop(self) -> None:
        """Stop accepting connections; ``serve`` then lets running requests finish."""
        self._stopping.set()

    def serve(self) -> None:
        """Accept connections until ``stop`` is called, then drain."""
        self._listener.listen(_BACKLOG)
        self._listener.settimeout(_TICK)
        while not self._stopping.is_set():
            self._handler.sessions.expire()
            try:
                sock, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError as error:
                # Out of file descriptors: keep serving existing connections and try again.
                _log.error("cannot accept a connection: %s", error)
                time.sleep(_TICK)
                continue
            self._admit(sock)
        self._listener.close()
        self._drain()

    def _admit(self, sock: socket.socket) -> None:
        connection = HttpConnection(sock, self._wire)
        with self._lock:
            full = len(self._open) >= self._max_connections and not self._evict()
            if not full:
                self._open[connection] = False
        if full:
            sock.settimeout(1.0)
            with contextlib.suppress(OSError):
                sock.sendall(
                    b"HTTP/1.1 503 Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                )
            sock.close()
            return
        threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: HttpConnection) -> None:
        try:
            self._requests(connection)
        except ClientGone:
            pass
        except BadRequest as error:
            self._refuse(connection, error)
        except Exception:
            # A failing request must not stop the server; the traceback goes to the log.
            _log.exception("a request failed unexpectedly")
            self._refuse(connection, BadRequest(500, "internal error, see the server's log"))
        finally:
            with self._lock:
                self._open.pop(connection, None)
            connection.close()

    def _requests(self, connection: HttpConnection) -> None:
        while not self._stopping.is_set():
            head = connection.next_request()
            if head is None:
                return
            self._busy(connection, True)
            if self._stopping.is_set():
                connection.closing = True
            self._handler.handle(connection, head)
            self._busy(connection, False)

    def _busy(self, connection: HttpConnection, busy: bool) -> None:
        with self._lock:
            self._open[connection] = busy

    def _refuse(self, connection: HttpConnection, error: BadRequest) -> None:
        connection.closing = True
        with contextlib.suppress(ClientGone, Exception):
            if not connection.response_started:
                connection.respond(
                    error.status,
                    [("Content-Type", "text/plain; charset=UTF-8")],
                    f"{error}\n".encode("utf-8", "replace"),
                )

    def _evict(self) -> bool:
        """Close the oldest idle connection; False if all are busy."""
        waiting = next((c for c, busy in self._open.items() if not busy), None)
        if waiting is None:
            return False
        self._open[waiting] = True
        _hang_up(waiting)
        return True

    def _drain(self) -> None:
        deadline = time.monotonic() + self._drain_seconds
        while self._at_work() and time.monotonic() < deadline:
            time.sleep(0.05)
        registry = self._handler.registry
        registry.stop(registry.running(), "the server is shutting down")
        last = time.monotonic() + 5
        while self._at_work() and time.monotonic() < last:
            time.sleep(0.05)

    def _at_work(self) -> bool:
        """Close idle connections; returns whether any busy ones remain."""
        with self._lock:
            idle = [connection for connection, busy in self._open.items() if not busy]
            working = len(self._open) > len(idle)
        for connection in idle:
            _hang_up(connection)
        return working


def _hang_up(connection: HttpConnection) -> None:
    with contextlib.suppress(OSError):
        connection.sock.shutdown(socket.SHUT_RDWR)
