"""Getting a URL as a browser does: the optional transport for hosts that refuse other clients.

Some hosts answer 429 to whoever does not show a browser's TLS fingerprint. The package curl_cffi
(extra ``weekahead[live]``) has it.
"""

import time
from collections.abc import Mapping
from typing import Any

from lakehouse.errors import SettingsError, SourceUnavailable, Unreachable
from lakehouse.settings.sources import HttpSettings

BROWSER = "chrome"


class Browser:
    """A session that may be shared by threads.

    Args:
        settings: Timeouts.
        loopback: Whether the host is this machine, which no proxy reaches.

    Raises:
        SettingsError: The package is not installed.
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
        """Status, headers and body.

        Args:
            url: What to get.
            largest: Bytes of a body beyond which it is given up.

        Raises:
            Unreachable: There is no connection to the host.
            SourceUnavailable: The answer breaks off, takes too long or is too large.
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
                # Its headers are found however they are written.
                headers: Mapping[str, str] = response.headers
                return response.status_code, headers, b"".join(chunks)
        except (exceptions.ConnectionError, exceptions.ConnectTimeout) as error:
            raise Unreachable(f"No connection for {url} ({error}).") from error
        except exceptions.RequestException as error:
            raise SourceUnavailable(f"{url} broke off ({error}).") from error
