"""Prefect's server, protected from foreign web pages: run as a module.

Prefect checks passwords, but accepts any host name and origin. Here, a request with a foreign
``Host`` (DNS rebinding) or ``Origin`` is refused before Prefect sees it, and pages may only load
from, and report to, this server: otherwise they report each visit to an analytics service, whatever
the settings say.
"""

import argparse
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any
from urllib.parse import urlsplit

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
REFUSED = 403
CONTENT_POLICY = (
    b"default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; frame-ancestors 'self'"
)
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


class OwnPagesOnly:
    """An ASGI application that accepts only requests to, and from pages of, the given hosts."""

    def __init__(self, app: App, hosts: Collection[str]) -> None:
        self._app = app
        self._hosts = frozenset(hosts)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it.

        Args:
            scope: The connection, as ASGI defines it.
            receive: Receives messages.
            send: Sends messages.
        """

        async def restricted(message: Message) -> None:
            if message["type"] == "http.response.start":
                policy = (b"content-security-policy", CONTENT_POLICY)
                message["headers"] = [*message.get("headers", ()), policy]
            await send(message)

        kind = scope["type"]
        if kind not in ("http", "websocket") or self._allowed(scope["headers"]):
            await self._app(scope, receive, restricted)
        elif kind == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        else:
            headers = [(b"content-type", b"text/plain")]
            await send({"type": "http.response.start", "status": REFUSED, "headers": headers})
            await send({"type": "http.response.body", "body": b"Foreign Host or Origin\n"})

    def _allowed(self, headers: list[tuple[bytes, bytes]]) -> bool:
        hosts = [value.decode("latin-1") for name, value in headers if name == b"host"]
        origins = [value.decode("latin-1") for name, value in headers if name == b"origin"]
        return len(hosts) == 1 and all(
            _name(address) in self._hosts for address in (f"//{hosts[0]}", *origins)
        )


def _name(address: str) -> str:
    try:
        parts = urlsplit(address)
        name = parts.hostname or ""
    except ValueError:
        return ""
    return f"[{name}]" if ":" in name else name


def main() -> None:
    """Serve until terminated."""
    parser = argparse.ArgumentParser(prog="deploy.local.prefect_server")
    parser.add_argument("--host", required=True, help="Address to listen on.")
    parser.add_argument("--port", required=True, type=int, help="Port to listen on.")
    parser.add_argument(
        "--allow", action="append", default=[], help="A further name of this server."
    )
    parser.add_argument("--no-services", action="store_true", help="No scheduler or triggers.")
    options = parser.parse_args()

    import uvicorn
    from prefect.server.api.server import create_app
    from prefect.settings import get_current_settings

    app = create_app(final=True, webserver_only=options.no_services)
    uvicorn.run(
        OwnPagesOnly(app, (*LOOPBACK, *options.allow)),
        host=options.host,
        port=options.port,
        log_level=get_current_settings().server.logging_level.lower(),
    )


if __name__ == "__main__":
    main()
