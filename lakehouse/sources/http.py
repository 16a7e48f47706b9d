"""The HTTP client of all quote sources: retries, pacing, timeouts, content checks.

Statuses and ``Retry-After`` follow RFC 9110. Retried are 408, 425, 429 and 5xx, failed and dropped
connections, slow responses, and responses that are not JSON (some hosts block callers with an HTML
page and status 200).
"""

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from threading import BoundedSemaphore, Lock
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt
from tenacity.wait import wait_exponential_jitter

from lakehouse import __version__
from lakehouse.errors import BadPayload, SourceUnavailable, Unreachable
from lakehouse.settings.sources import HttpSettings
from lakehouse.sources.browser import Browser

LIMITED = 429
LOOPBACK = ("localhost", "127.0.0.1", "::1")
RETRIED_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
EXPLAINED_STATUSES = frozenset({400, 404, 422})
MAX_BODY_BYTES = 128 * 1024 * 1024
USER_AGENT = f"Mozilla/5.0 (compatible; weekahead/{__version__})"
EXCERPT_CHARACTERS = 80


class Refused(BadPayload):
    """The host refuses the request (4xx); the parsed body, if any, is kept."""

    def __init__(self, message: str, status: int, body: Any) -> None:
        super().__init__(message)
        self.status = status
        self.body = body


class _Transient(Exception):
    """A failure worth retrying; holds the error to raise when attempts run out."""

    def __init__(
        self, error: SourceUnavailable | BadPayload, retry_after: float | None = None
    ) -> None:
        super().__init__(str(error))
        self.error = error
        self.retry_after = retry_after


class HttpClient:
    """Fetches JSON from one host; threads may share it.

    Args:
        settings: Retries, pauses and timeouts.
        base_url: Scheme, host and port.
        setting: Environment variable that holds the address, for error messages.
        pause_seconds: Minimum time between two requests; default: that of the settings.
        as_browser: Whether to imitate a browser (see ``browser.py``).
        when_limited: Advice to add to the error if a host keeps answering 429.

    Raises:
        SettingsError: curl_cffi is required but not installed.
    """

    def __init__(
        self,
        settings: HttpSettings,
        *,
        base_url: str,
        setting: str,
        pause_seconds: float | None = None,
        as_browser: bool = False,
        when_limited: str = "",
    ) -> None:
        self.base_url = base_url
        self._settings = settings
        self._setting = setting
        parts = urlsplit(base_url)
        self.host = parts.netloc.rpartition("@")[2]
        self._pacer = _Pacer(settings.pause_seconds if pause_seconds is None else pause_seconds)
        self._slots = BoundedSemaphore(settings.parallel)
        self._when_limited = when_limited
        host = parts.hostname or ""
        self._pool = _pool(settings, parts.scheme, host)
        self._browser = Browser(settings, loopback=host in LOOPBACK) if as_browser else None
        self._retrying = Retrying(
            stop=stop_after_attempt(settings.attempts),
            wait=self._wait,
            retry=retry_if_exception(self._worth_another_try),
            reraise=True,
        )

    @property
    def requests(self) -> int:
        """Requests so far, repeated ones included."""
        return self._pacer.starts

    def __enter__(self) -> Self:
        """Return the client; connections are opened on demand."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connections."""
        self._pool.clear()
        if self._browser:
            self._browser.close()

    def get_json(self, path: str, params: Mapping[str, str | int] | None = None) -> Any:
        """Fetch and parse a JSON document, with retries.

        Args:
            path: Path on the host, starting with a slash.
            params: Query parameters.

        Returns:
            The decoded document.

        Raises:
            Unreachable: The host cannot be reached.
            SourceUnavailable: The host refuses, fails or does not answer with JSON.
            Refused: The host answers 400, 404 or 422.
            BadPayload: The response is not valid JSON.
        """
        query = f"?{urlencode(params)}" if params else ""
        try:
            return self._retrying(self._once, f"{path}{query}")
        except _Transient as transient:
            raise transient.error from transient.__cause__

    def _wait(self, state: RetryCallState) -> float:
        limits = self._settings
        pause = wait_exponential_jitter(
            initial=limits.backoff_seconds,
            max=limits.max_backoff_seconds,
            jitter=limits.backoff_seconds,
        )(state)
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after if isinstance(error, _Transient) else None
        if asked is None:
            return float(pause)
        # The host's request to wait applies to all threads.
        self._pacer.hold(asked)
        return asked

    def _worth_another_try(self, error: BaseException) -> bool:
        if not isinstance(error, _Transient):
            return False
        return (error.retry_after or 0) <= self._settings.max_backoff_seconds

    def _once(self, target: str) -> Any:
        with self._slots:
            self._pacer.wait()
            status, headers, body = self._fetch(target)
        path = target.partition("?")[0]
        where = f"{self.host}{path}"
        if status in RETRIED_STATUSES:
            advice = self._advice() + (self._when_limited if status == LIMITED else "")
            error = SourceUnavailable(f"{where} answers with status {status}.{advice}")
            raise _Transient(error, _retry_after(headers.get("Retry-After")))
        kind = (headers.get("Content-Type") or "").partition(";")[0].strip().lower()
        is_json = kind.endswith("json")
        if status in EXPLAINED_STATUSES:
            raise Refused(f"{where} answers with status {status}.", status, _parsed(body))
        if status != 200:
            raise SourceUnavailable(f"{where} refuses with status {status}.{self._advice()}")
        if not is_json:
            raise _Transient(
                SourceUnavailable(
                    f"{where} answers with {kind or 'no content type'} instead of JSON, which is "
                    f"how some hosts block or limit callers.{self._advice()}"
                )
            )
        try:
            return json.loads(body)
        except ValueError as error:
            excerpt = body[-EXCERPT_CHARACTERS:].decode(errors="replace")
            message = f"{where} answers with broken JSON ({error}); it ends in: {excerpt!r}."
            raise _Transient(BadPayload(message)) from error

    def _fetch(self, target: str) -> tuple[int, Mapping[str, str], bytes]:
        if self._browser:
            try:
                return self._browser.get(f"{self.base_url}{target}", MAX_BODY_BYTES)
            except SourceUnavailable as error:
                raise _Transient(type(error)(f"{error}{self._advice()}")) from error
        deadline = time.monotonic() + self._settings.total_timeout_seconds
        try:
            response = self._pool.request("GET", f"{self.base_url}{target}", preload_content=False)
            try:
                body = self._body(response, deadline, target)
                return response.status, response.headers, body
            finally:
                response.release_conn()
        except urllib3.exceptions.HTTPError as error:
            raise _Transient(self._explain(error, target)) from error

    def _body(self, response: urllib3.BaseHTTPResponse, deadline: float, target: str) -> bytes:
        chunks, size = [], 0
        # read1 returns what has arrived, so that a trickling response cannot block us forever.
        while chunk := response.read1(1 << 16):
            chunks.append(chunk)
            size += len(chunk)
            if time.monotonic() > deadline or size > MAX_BODY_BYTES:
                response.close()
                limit = (
                    f"{MAX_BODY_BYTES >> 20} MiB"
                    if size > MAX_BODY_BYTES
                    else f"{self._settings.total_timeout_seconds:g} s"
                )
                path = target.partition("?")[0]
                message = f"The answer of {self.host}{path} takes more than {limit}."
                raise _Transient(SourceUnavailable(message + self._advice()))
        return b"".join(chunks)

    def _explain(self, error: urllib3.exceptions.HTTPError, target: str) -> SourceUnavailable:
        reason = getattr(error, "reason", None) or error
        where = f"{self.host}{target.partition('?')[0]}"
        if isinstance(reason, urllib3.exceptions.NewConnectionError | urllib3.exceptions.SSLError):
            return Unreachable(f"No connection to {self.host} ({_short(reason)}).{self._advice()}")
        if isinstance(reason, urllib3.exceptions.ConnectTimeoutError):
            seconds = self._settings.connect_timeout_seconds
            return Unreachable(f"No connection to {self.host} in {seconds:g} s.{self._advice()}")
        if isinstance(reason, urllib3.exceptions.ReadTimeoutError):
            seconds = self._settings.read_timeout_seconds
            return SourceUnavailable(f"{where} sent nothing for {seconds:g} s.{self._advice()}")
        return SourceUnavailable(f"{where} broke off ({_short(reason)}).{self._advice()}")

    def _advice(self) -> str:
        return f" Try again later, or check {self._setting}."


class _Pacer:
    """Keeps a minimum time between the starts of two requests."""

    def __init__(self, pause: float) -> None:
        self.starts = 0
        self._pause = pause
        self._next = 0.0
        self._lock = Lock()

    def wait(self) -> None:
        """Sleep until the caller's turn."""
        with self._lock:
            turn = max(self._next, time.monotonic())
            self._next = turn + self._pause
            self.starts += 1
        time.sleep(max(0.0, turn - time.monotonic()))

    def hold(self, seconds: float) -> None:
        """Let no request start for some seconds."""
        with self._lock:
            self._next = max(self._next, time.monotonic() + seconds)


def _pool(settings: HttpSettings, scheme: str, host: str) -> urllib3.PoolManager:
    options: dict[str, Any] = {
        "maxsize": settings.parallel,
        "headers": {
            "User-Agent": USER_AGENT,
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
        },
        "timeout": urllib3.Timeout(
            connect=settings.connect_timeout_seconds, read=settings.read_timeout_seconds
        ),
        # urllib3 handles only redirects; retries and pauses are handled here.
        "retries": urllib3.Retry(
            total=None, connect=0, read=0, status=0, other=0, redirect=3, raise_on_status=False
        ),
    }
    proxy = getproxies().get(scheme)
    if proxy and host not in LOOPBACK and not proxy_bypass(host):
        return urllib3.ProxyManager(proxy, **options)
    return urllib3.PoolManager(**options)


def _retry_after(value: str | None) -> float | None:
    """Seconds to wait; RFC 9110 allows a number of seconds or a date."""
    if not value:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        until = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (until.astimezone(UTC) - datetime.now(UTC)).total_seconds())


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _short(error: object) -> str:
    return str(error).rpartition(": ")[2] or type(error).__name__
