"""Fetches a URL like a browser: the optional transport for hosts that refuse other clients.

Some hosts answer 429 to clients without a browser's TLS fingerprint. The package curl_cffi (extra
``weekahead[live]``) imitates it.
"""

import time
from collections.abc import Mapping
from typing import Any

from lakehouse.errors import SettingsError, SourceUnavailable, Unreachable
from lakehouse.settings.sources import HttpSettings

BROWSER = "chrome"


class Browser:
    """A session that threads may share.

    Args:
        settings: Timeouts.
        loopback: Whether the host is this machine, which must not go through a proxy.

    Raises:
        SettingsError: curl_cffi is not installed.
    """

    def __init__(self, settings: HttpSettings, *, loopback: bool) -> None:
        try:
            from curl_cffi import CurlOpt
            from curl_cffi.requests import Session
        except ImportError as error:
            raise SettingsError(
                "yahoo.transport is curl_cffi, which is not installed: "
                "pip install 'weekahead[live]', or set WEEKAHEAD_YAHOO__TRANSPORT=urllib3."
            ) from error
        options = {CurlOpt.NOPROXY: b"*"} if loopback else {}
        self._settings = settings
        self._session: Session[Any] = Session(impersonate=BROWSER, curl_options=options)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def get(self, url: str, largest: int) -> tuple[int, Mapping[str, str], bytes]:
        """Fetch a URL.

        Args:
            url: The URL.
            largest: Largest accepted body in bytes.

        Returns:
            Status, headers and body.

        Raises:
            Unreachable: The host cannot be reached.
            SourceUnavailable: The response breaks off, takes too long or is too large.
        """
        from curl_cffi.requests import exceptions

        limits = self._settings
        deadline = time.monotonic() + limits.total_timeout_seconds
        timeouts = limits.connect_timeout_seconds, limits.total_timeout_seconds
        try:
            with self._session.stream(
                "GET", url, timeout=timeouts, headers={"Accept": "application/json"}
            ) as response:
                chunks, size = [], 0
                for chunk in response.iter_content():
                    chunks.append(chunk)
                    size += len(chunk)
                    if size > largest or time.monotonic() > deadline:
                        raise SourceUnavailable(f"The answer of {url} takes too long or too much.")
                # Its header names are case-insensitive.
                headers: Mapping[str, str] = response.headers
                return response.status_code, headers, b"".join(chunks)
        except (exceptions.ConnectionError, exceptions.ConnectTimeout) as error:
            raise Unreachable(f"No connection for {url} ({error}).") from error
        except exceptions.RequestException as error:
            raise SourceUnavailable(f"{url} broke off ({error}).") from error
