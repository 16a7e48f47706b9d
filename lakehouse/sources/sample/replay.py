"""An HTTP server on loopback that replays an exchange in the ISS wire format."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qsl, unquote, urlsplit

from lakehouse.sources.sample.exchange import Blocks, Exchange

MARKET = r"engines/\w+/markets/\w+"
Params = dict[str, str]
Route = Callable[[Exchange, str, Params], Blocks]


def _history(exchange: Exchange, symbol: str, params: Params) -> Blocks:
    first, last = params.get("from", ""), params.get("till", "9999")
    return exchange.history(symbol, int(params.get("start", 0)), first, last)


def _day(exchange: Exchange, _: str, params: Params) -> Blocks:
    return exchange.day(params.get("date", ""), int(params.get("start", 0)))


def _calendar(exchange: Exchange, _: str, params: Params) -> Blocks:
    return exchange.calendar(params.get("from", ""), params.get("till", "9999-12-31"))


ROUTES: tuple[tuple[re.Pattern[str], Route], ...] = tuple(
    (re.compile(f"/iss/{pattern}"), route)
    for pattern, route in (
        (rf"history/{MARKET}/boards/\w+/securities/([^/]+)\.json", _history),
        (rf"history/{MARKET}/boards/\w+/securities()\.json", _day),
        (rf"history/{MARKET}/securities/changeover()\.json", lambda e, *_: e.changeover()),
        (r"statistics/engines/\w+/splits()\.json", lambda e, *_: e.all_splits()),
        (r"securities/([^/]+)/dividends\.json", lambda e, symbol, _: e.dividends_of(symbol)),
        (r"calendars/\w+()\.json", _calendar),
        (rf"{MARKET}/boards/\w+/securities()\.json", lambda e, *_: e.securities()),
    )
)


class ReplayHandler(BaseHTTPRequestHandler):
    """Answers one connection; tests subclass it to distort responses."""

    protocol_version = "HTTP/1.1"
    # Send head and body in one packet; two would stall each other (Nagle, delayed ACK).
    wbufsize = 1 << 16
    exchange: Exchange

    def do_GET(self) -> None:
        """Answer with the blocks of the path, or 404."""
        url = urlsplit(self.path)
        blocks = self.answer(unquote(url.path), dict(parse_qsl(url.query)))
        if blocks is None:
            self.send_body(404, b'{"error": "not found"}')
        else:
            self.send_body(200, json.dumps(blocks).encode())

    def answer(self, path: str, params: Params) -> Blocks | None:
        """The requested blocks.

        Args:
            path: Decoded path of the request.
            params: Query parameters.

        Returns:
            The blocks by name; None if there is no such path.
        """
        for pattern, route in ROUTES:
            if match := pattern.fullmatch(path):
                blocks = route(self.exchange, match.group(1), params)
                only = params.get("iss.only", "")
                return {name: blocks[name] for name in only.split(",") if name in blocks} or blocks
        return None

    def send_body(
        self, status: int, body: bytes, content_type: str = "application/json; charset=utf-8"
    ) -> None:
        """Send a complete response.

        Args:
            status: HTTP status.
            body: Content.
            content_type: Value of the header Content-Type.
        """
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Suppress the log line of each request.

        Args:
            format: Ignored.
            *args: Ignored.
        """


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore clients that disconnect."""


@contextmanager
def serve(exchange: Exchange) -> Iterator[str]:
    """Serve an exchange on a free port of the loopback interface.

    Yields:
        The base URL.
    """
    with serve_handler(type("BoundHandler", (ReplayHandler,), {"exchange": exchange})) as base_url:
        yield base_url


@contextmanager
def serve_handler(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve with any handler on a free port of the loopback interface.

    Yields:
        The base URL.
    """
    with _Server(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True, name="replay")
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
