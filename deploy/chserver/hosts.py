"""Protects against requests that a browser is tricked into.

A web page can make its visitor's browser send requests to this server, and with a host name that
resolves to this machine (DNS rebinding) it could even read the responses. Browsers send the name
that they connect to and the page that makes the request; programs send the server's name or
nothing.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from deploy.chserver.errors import BadRequest

_EVERY_ADDRESS = ("0.0.0.0", "::", "")  # noqa: S104 (compared, not bound)


class Hosts:
    """The host names under which this server answers."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = {name.lower().rstrip(".") for name in names} - set(_EVERY_ADDRESS)

    def check(self, headers: Mapping[str, str]) -> None:
        """Refuse requests for another host name or from another site's page.

        Raises:
            BadRequest: With status 421 or 403.
        """
        host = headers.get("host", "").lower()
        if host and not self._is_own(host):
            raise BadRequest(
                421, f"This server does not answer as {host[:100]!r}; see its option --allow-host"
            )
        _, _, origin = headers.get("origin", f"http://{host}").lower().partition("://")
        site = headers.get("sec-fetch-site", "none").strip().lower()
        if origin != host or site not in ("none", "same-origin"):
            raise BadRequest(403, "Requests by pages of other sites are refused")

    def _is_own(self, host: str) -> bool:
        try:
            name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
        except ValueError:
            return False
        if name == "localhost" or name in self._names:
            return True
        try:
            return ipaddress.ip_address(name).is_loopback
        except ValueError:
            return False
