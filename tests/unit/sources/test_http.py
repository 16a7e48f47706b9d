"""The client's manners, against a real server."""

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from lakehouse.errors import BadPayload, SourceUnavailable, Unreachable
from lakehouse.settings.sources import HttpSettings
from lakehouse.sources.http import HttpClient, Refused, _retry_after
from lakehouse.sources.sample.replay import serve_handler


class Script:
    """What the server answers, request by request, and what it saw."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        self.started: list[float] = []
        self.paths: list[str] = []
        self.agents: list[str] = []
        self.under_way = self.most_under_way = 0
        self.seconds = 0.0
        self.lock = threading.Lock()


JSON = {"Content-Type": "application/json"}
OK = (200, JSON, b'{"ok": true}')


@pytest.fixture
def server() -> Iterator[tuple[str, Script]]:
    script = Script()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 16

        def do_GET(self) -> None:
            with script.lock:
                script.started.append(time.monotonic())
                script.paths.append(self.path)
                script.agents.append(self.headers["User-Agent"])
                script.under_way += 1
                script.most_under_way = max(script.most_under_way, script.under_way)
                status, headers, body = script.answers.pop(0) if script.answers else OK
            time.sleep(script.seconds)
            with script.lock:
                script.under_way -= 1
            self.send_response(status)
            for name, value in (headers | {"Content-Length": str(len(body))}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with serve_handler(Handler) as base_url:
        yield base_url, script


def client(base_url: str, **policy: Any) -> HttpClient:
    defaults = {"attempts": 3, "backoff_seconds": 0.01, "pause_seconds": 0}
    return HttpClient(
        HttpSettings(**(defaults | policy)), base_url=base_url, setting="WEEKAHEAD_X__BASE_URL"
    )


def test_parameters_are_encoded(server: tuple[str, Script]) -> None:
    base_url, script = server
    with client(base_url) as http:
        assert http.get_json("/a", {"b": "c d&e"}) == {"ok": True}
    assert script.paths == ["/a?b=c+d%26e"]


def test_pauses_lie_between_requests_of_all_threads(server: tuple[str, Script]) -> None:
    base_url, script = server
    with client(base_url, pause_seconds=0.05) as http:
        threads = [threading.Thread(target=http.get_json, args=("/",)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    gaps = [b - a for a, b in zip(script.started, script.started[1:], strict=False)]
    assert sum(gaps) >= 5 * 0.05 - 0.02


def test_so_many_requests_at_once(server: tuple[str, Script]) -> None:
    base_url, script = server
    script.seconds = 0.05
    with client(base_url, parallel=2) as http:
        threads = [threading.Thread(target=http.get_json, args=("/",)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert script.most_under_way == 2


def test_pauses_grow(server: tuple[str, Script]) -> None:
    base_url, script = server
    script.answers = [(503, {}, b"")] * 3
    with client(base_url, attempts=4, backoff_seconds=0.05) as http:
        assert http.get_json("/") == {"ok": True}
    gaps = [b - a for a, b in zip(script.started, script.started[1:], strict=False)]
    assert [gap >= least for gap, least in zip(gaps, (0.05, 0.1, 0.2), strict=True)] == [True] * 3


@pytest.mark.parametrize("status", [401, 403, 418, 501])
def test_a_refusal_for_good_is_not_repeated(server: tuple[str, Script], status: int) -> None:
    base_url, script = server
    script.answers = [(status, JSON, b"{}")]
    with (
        client(base_url) as http,
        pytest.raises(SourceUnavailable, match=f"status {status}.*WEEKAHEAD_X__BASE_URL"),
    ):
        http.get_json("/")
    assert len(script.started) == 1


@pytest.mark.parametrize("status", [400, 404, 422])
def test_an_explained_refusal_keeps_the_explanation(
    server: tuple[str, Script], status: int
) -> None:
    base_url, script = server
    script.answers = [(status, JSON, b'{"why": 1}')]
    with client(base_url) as http, pytest.raises(Refused) as caught:
        http.get_json("/")
    assert (caught.value.status, caught.value.body) == (status, {"why": 1})


def test_html_is_no_data(server: tuple[str, Script]) -> None:
    base_url, script = server
    script.answers = [(200, {"Content-Type": "text/html"}, b"<html>")] * 3
    with client(base_url) as http, pytest.raises(SourceUnavailable, match="text/html instead"):
        http.get_json("/x")
    assert len(script.started) == 3


def test_broken_json_shows_its_end(server: tuple[str, Script]) -> None:
    base_url, script = server
    script.answers = [(200, JSON, b'{"a": [1, 2')] * 3
    with client(base_url) as http, pytest.raises(BadPayload, match=r"ends in: '.*\[1, 2'"):
        http.get_json("/x")


def test_nobody_there() -> None:
    with (
        client("http://127.0.0.1:9") as http,
        pytest.raises(Unreachable, match=r"127\.0\.0\.1:9 .*refused.*WEEKAHEAD_X__BASE_URL"),
    ):
        http.get_json("/")


def test_credentials_in_an_address_are_not_shown() -> None:
    with client("http://me:hush@127.0.0.1:9") as http, pytest.raises(Unreachable) as caught:
        http.get_json("/")
    assert "hush" not in str(caught.value)


def test_retry_after_is_a_number_or_a_date() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    past = format_datetime(datetime.now(UTC) - timedelta(seconds=90), usegmt=True)
    assert _retry_after("7") == 7
    assert 80 < (_retry_after(soon) or 0) <= 90
    assert _retry_after(past) == 0
    assert _retry_after("soon") is None
    assert _retry_after(None) is None


def test_as_a_browser_with_the_same_manners(server: tuple[str, Script]) -> None:
    base_url, script = server
    settings = HttpSettings(attempts=3, backoff_seconds=0.01, pause_seconds=0)
    script.answers = [(429, {"Retry-After": "0"}, b""), OK, (200, JSON, b"{"), OK]
    with HttpClient(settings, base_url=base_url, setting="X", as_browser=True) as http:
        assert [http.get_json("/a?b=c"), http.get_json("/d")] == [{"ok": True}] * 2
        assert http.requests == len(script.paths) == 4
    assert all("Chrome" in agent and "weekahead" not in agent for agent in script.agents)
    with (
        HttpClient(settings, base_url="http://127.0.0.1:9", setting="X", as_browser=True) as http,
        pytest.raises(Unreachable, match="check X"),
    ):
        http.get_json("/")


def test_who_keeps_limiting_is_answered_with_a_way_out(server: tuple[str, Script]) -> None:
    base_url, script = server
    settings = HttpSettings(attempts=2, backoff_seconds=0.01, pause_seconds=0)
    script.answers = [(429, {}, b"")] * 2
    with (
        HttpClient(settings, base_url=base_url, setting="X", when_limited=" Try that.") as http,
        pytest.raises(SourceUnavailable, match=r"status 429\..* Try that\."),
    ):
        http.get_json("/")
