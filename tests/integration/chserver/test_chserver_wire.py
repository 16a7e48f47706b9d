"""Requests of every shape over raw sockets: none keeps a thread busy or a place taken."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.homes import eventually

LOGIN = b"X-ClickHouse-User: reader\r\nX-ClickHouse-Key: reader-secret\r\n"
HOST = b"Host: localhost\r\n"


@pytest.fixture(scope="module")
def quiet(server: Any) -> psutil.Process:
    """The server's process, once every thread that it keeps has been started."""
    server.ok("SELECT sum(number) FROM numbers(1000000)", "reader")
    return psutil.Process(server.process.pid)


def established(process: psutil.Process) -> set[tuple[str, int]]:
    """The other ends of the server's connections."""
    return {
        (c.raddr.ip, c.raddr.port)
        for c in process.net_connections("tcp")
        if c.status == "ESTABLISHED"
    }


@pytest.fixture(scope="module")
def others(quiet: psutil.Process) -> set[tuple[str, int]]:
    """Connections that clients of other tests keep alive."""
    return established(quiet)


def send(server: Any, request: bytes, *, half_close: bool = True, wait: float = 5) -> bytes:
    """Send bytes; return what comes back until the server closes, or until ``wait`` is over."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=wait) as sock:
        received = b""
        try:
            sock.sendall(request)
            if half_close:
                sock.shutdown(socket.SHUT_WR)
            while piece := sock.recv(65536):
                received += piece
        except (TimeoutError, ConnectionError):
            pass
        return received


def cpu(process: psutil.Process, seconds: float = 1.0) -> float:
    """Share of one core that the process uses."""
    before = process.cpu_times()
    time.sleep(seconds)
    after = process.cpu_times()
    return (after.user + after.system - before.user - before.system) / seconds


def gauge(server: Any, name: str) -> float:
    import urllib.request

    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics") as page:
        lines = page.read().decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"chserver_{name} "))


@pytest.mark.parametrize(
    "head",
    [
        b"GET /ping HTTP/1.1\r\n%sUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"GET / HTTP/1.1\r\n%sUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n\r\n",
        b"POST /ping HTTP/1.1\r\n%sUpgrade: x\r\nContent-Length: 3\r\n\r\nabc",
        b"POST /ping HTTP/1.1\r\n%sUpgrade: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\n%sUpgrade: x\r\nContent-Length: 8\r\n\r\nSELECT 1",
        b"CONNECT localhost:80 HTTP/1.1\r\n%s\r\n",
        b"CONNECT / HTTP/1.1\r\n%s\r\n",
        b"CONNECT /ping HTTP/1.1\r\n%sContent-Length: 3\r\n\r\nabc",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\n%s\r\n",
        b"TRACE / HTTP/1.1\r\n%s\r\n",
    ],
)
def test_other_protocols_are_answered_and_closed(
    server: Any, quiet: psutil.Process, others: set[tuple[str, int]], head: bytes
) -> None:
    request = head.replace(b"%s", HOST + LOGIN)
    for half_close in (True, False):
        before = time.monotonic()
        answer = send(server, request + b"GET /ping HTTP/1.1\r\n" + HOST + b"\r\n",
                      half_close=half_close)  # fmt: skip
        assert answer.startswith(b"HTTP/1.1 ")
        if b"OPTIONS" not in head and b"TRACE" not in head:
            # Whatever followed is not read as another request.
            assert answer.count(b"HTTP/1.1 ") == 1 and time.monotonic() - before < 4
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", server.port)) as sock:
            sock.sendall(request)
    time.sleep(0.3)
    assert cpu(quiet, 0.5) < 0.5
    assert established(quiet) <= others


def status(server: Any, *headers: str, path: str = "/ping") -> int:
    request = f"GET {path} HTTP/1.1\r\nConnection: close\r\n" + "".join(f"{h}\r\n" for h in headers)
    return int(send(server, request.encode() + b"\r\n").split()[1])


def test_only_own_names_and_pages_are_answered(server: Any, start_server: Any) -> None:
    port = server.port
    own = ("localhost", "127.0.0.1", f"localhost:{port}", "[::1]", "127.8.9.10", "LOCALHOST.")
    for name in own:
        assert status(server, f"Host: {name}") == 200
    foreign = ("evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "10.0.0.1", "x@y", "[")
    for name in foreign:
        assert status(server, f"Host: {name}") == 421, name
        assert status(server, f"Host: {name}", path="/metrics") == 421
        assert status(server, f"Host: {name}", path="/?query=SELECT+1&user=x&password=y") == 421
    host = f"Host: localhost:{port}"
    for header in (
        *("Origin: http://evil.example", "Origin: null", f"Origin: http://localhost:{port + 1}"),
        *("Origin: http://127.0.0.1", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site"),
    ):
        assert status(server, host, header) == 403, header
    assert status(server, host, f"Origin: http://localhost:{port}") == 200
    for site in ("none", "same-origin"):
        assert status(server, host, f"Sec-Fetch-Site: {site}") == 200
    named = start_server("--allow-host", "ClickHouse", "--allow-host", "warehouse.example")
    for name in ("clickhouse:8123", "warehouse.example", "localhost"):
        assert status(named, f"Host: {name}") == 200
    assert status(named, "Host: other") == 421


CHANGES = [
    "CREATE TABLE marts.x (a Int8) ENGINE Memory",
    "DROP TABLE marts.prices",
    "INSERT INTO marts.prices VALUES ('X', 1)",
    "TRUNCATE TABLE marts.prices",
    "DELETE FROM marts.prices WHERE 1",
    "OPTIMIZE TABLE marts.prices",
    "KILL QUERY WHERE 1",
    "SYSTEM SHUTDOWN",
    "SET max_threads = 1",
    "USE marts",
]


def test_get_changes_nothing(server: Any) -> None:
    before = server.ok("SELECT name FROM system.tables WHERE database = 'marts' ORDER BY name")
    for sql in CHANGES:
        for method in ("GET", "HEAD"):
            answer = server.query(method=method, query=sql)
            assert answer.code == 164, sql
        assert server.query(sql, readonly="1", user="writer").status >= 400
    assert (
        server.ok("SELECT name FROM system.tables WHERE database = 'marts' ORDER BY name") == before
    )
    assert server.ok("SELECT count() FROM marts.prices") == "2\n"


def test_a_place_is_taken_only_when_the_body_is_there(start_server: Any) -> None:
    server = start_server("--max-queries", "4", "--queue-seconds", "1")
    log_in(server)
    waiting = []
    for _ in range(12):
        sock = socket.create_connection(("127.0.0.1", server.port))
        sock.sendall(b"POST / HTTP/1.1\r\n" + HOST + LOGIN + b"Content-Length: 100\r\n\r\nSELECT ")
        waiting.append(sock)
    for form in (b"POST /?query=SELECT+1 HTTP/1.1\r\n", b"PUT / HTTP/1.1\r\n"):
        sock = socket.create_connection(("127.0.0.1", server.port))
        sock.sendall(form + HOST + LOGIN + b"Transfer-Encoding: chunked\r\n\r\n5\r\nSELE")
        waiting.append(sock)
    server.ok("CREATE DATABASE staging")
    server.ok("CREATE TABLE staging.t (x Int32) ENGINE Memory")
    for _ in range(5):
        sock = socket.create_connection(("127.0.0.1", server.port))
        sock.sendall(
            b"POST /?query=INSERT+INTO+staging.t+FORMAT+TSV HTTP/1.1\r\n" + HOST
            + LOGIN.replace(b"reader", b"writer") + b"Content-Length: 100\r\n\r\n1\n2\n"
        )  # fmt: skip
        waiting.append(sock)
    before = time.monotonic()
    for user in ("reader", "writer", "admin"):
        assert server.ok("SELECT 1", user) == "1\n"
    assert time.monotonic() - before < 20
    for sock in waiting:
        sock.close()
    assert server.ok("SELECT count() FROM staging.t") == "0\n"


def test_idle_connections_make_room_for_new_ones(start_server: Any) -> None:
    server = start_server()
    idle = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(300)]
    time.sleep(0.5)
    for _ in range(3):
        assert server.ok("SELECT 1", "reader") == "1\n"
    for sock in idle:
        sock.close()
    assert server.stop() == 0


def log_in(server: Any) -> None:
    """Log in every account once, so that later timings measure only the statements."""
    for user in server.passwords:
        server.ok("SELECT 1", user)


@contextmanager
def flood(
    server: Any, user: str, sql: str | bytes, count: int, **params: str
) -> Iterator[list[Any]]:
    """Run a statement many times at once."""
    answers: list[Any] = []
    threads = [
        threading.Thread(target=lambda: answers.append(server.query(sql, user, **params)))
        for _ in range(count)
    ]
    for thread in threads:
        thread.start()
    time.sleep(0.7)
    yield answers
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


def test_killing_everything_kills_neither_itself_nor_the_server(server: Any) -> None:
    for user in ("reader", "admin"):
        with flood(server, user, "KILL QUERY WHERE 1 SYNC", 16) as answers:
            assert server.ok("SELECT 1", "writer") == "1\n"
        assert {answer.code for answer in answers} <= {0, 202}
        assert any(answer.status == 200 for answer in answers)
        assert server.ok("SELECT 1", user) == "1\n"
    # An endless condition has its own time limit, and takes no other query's slot.
    with flood(server, "reader", "KILL QUERY WHERE sleepEachRow(3) = 0 SYNC", 4):
        assert server.ok("SELECT 1", "reader") == "1\n"


def test_statements_that_ignore_their_limit_leave_places_to_others(start_server: Any) -> None:
    server = start_server("--max-queries", "4", "--queue-seconds", "2")
    log_in(server)
    distance = "levenshteinDistance(repeat('a', 30000 + number), repeat('b', 30000))"
    deaf = f"SELECT max({distance}) FROM numbers(3)"
    with flood(server, "reader", deaf, 8, max_execution_time="1") as answers:
        for _ in range(3):
            for user in ("writer", "reader2", "admin"):
                before = time.monotonic()
                assert server.ok("SELECT 1", user) == "1\n"
                assert time.monotonic() - before < 15
    assert all(answer.code in (0, 159, 202, 394) for answer in answers)
    # The same user's, too, once the others are over.
    assert server.ok("SELECT 1", "reader") == "1\n"
    assert gauge(server, "queries_running") == 0


def holding(numbers: int, seconds: int) -> str:
    """A statement that keeps a set of numbers in memory, some 100 bytes each."""
    kept = f"SELECT toString(number) FROM numbers({numbers})"
    return (
        f"SELECT count() FROM numbers({1000 * seconds}) WHERE toString(number) IN ({kept}) "
        "AND sleepEachRow(0.001) = 0 SETTINGS max_block_size = 100"
    )


def test_readers_leave_memory_to_the_writer(start_server: Any) -> None:
    server = start_server("--max-memory", str(700 * 1024**2))
    hold = holding(5_000_000, seconds=30)
    held = "SELECT max(memory_usage) FROM system.processes"
    made = "SELECT length(groupArray(toString(number))) FROM numbers(3000000) WHERE sleep(0.05) = 0"
    # What is written into a comment does not confuse who watches the memory.
    odd = "SELECT sleep(3) SETTINGS log_comment = '\u2028\t\n'".encode() + b" -- \xff"
    for _ in range(2):
        with flood(server, "writer", odd, 1), flood(server, "reader", hold, 1) as answers:
            eventually(lambda: int(server.ok(held)) > 400 * 1024**2, within=30)
            assert server.ok(made, "writer") == "3000000\n"
        assert [answer.code for answer in answers] == [394]
        assert "queries together hold too much memory" in answers[0].text


def test_a_crowd_of_readers_does_not_keep_the_writer_out(start_server: Any) -> None:
    server = start_server("--max-memory", str(700 * 1024**2))
    greedy = holding(1_000_000, seconds=3)
    over = threading.Event()

    def insist() -> None:
        while not over.is_set():
            server.query(greedy, "reader")

    crowd = [threading.Thread(target=insist) for _ in range(6)]
    for reader in crowd:
        reader.start()
    time.sleep(3)
    statuses = []
    for _ in range(10):
        statuses.append(server.query("SELECT max(number) FROM numbers(300000)", "writer").status)
        time.sleep(0.3)
    over.set()
    for reader in crowd:
        reader.join(60)
    assert statuses.count(200) >= 9


PIECES = st.sampled_from(
    [
        *(b"GET /", b"GET /ping", b"POST /?query=SELECT+1", b"CONNECT a:1", b"PUT /"),
        *(b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\xff"),
        *(HOST, b"Host: evil\r\n", LOGIN, b"Origin: null\r\n", b"X: " + b"y" * 5000 + b"\r\n"),
        *(b"Upgrade: websocket\r\n", b"Connection: Upgrade\r\n", b"Connection: close\r\n"),
        *(b"Content-Length: 4\r\n", b"abcd", b"Expect: 100-continue\r\n", b"\r\n"),
        *(b"Transfer-Encoding: chunked\r\n", b"4\r\nabcd\r\n", b"0\r\n", b"0\r\nX: y\r\n\r\n"),
        *(b"INSERT INTO marts.prices FORMAT TSV\n", b"\x16\x03\x01\x02\x00"),
    ]
)


@settings(max_examples=200, deadline=None)
@given(st.lists(PIECES, min_size=1, max_size=14).map(b"".join))
def test_no_request_leaves_a_thread_or_a_place_behind(server: Any, request_bytes: bytes) -> None:
    answer = send(server, request_bytes, wait=20)
    assert not answer or answer.startswith(b"HTTP/1.1 ")
    assert b"internal error" not in answer


def test_after_all_that_the_server_is_idle(
    server: Any, quiet: psutil.Process, others: set[tuple[str, int]]
) -> None:
    """Runs last in this file: what the requests above have left behind would show here."""
    time.sleep(2.5)
    assert gauge(server, "queries_running") == 0
    assert cpu(quiet, 2) < 0.3
    names = [t.id for t in quiet.threads()]
    assert established(quiet) <= others
    assert len(names) < 120
    assert server.ok("SELECT count() FROM marts.prices") == "2\n"
