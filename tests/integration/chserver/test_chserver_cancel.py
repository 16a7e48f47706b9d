"""Queries that are stopped: by KILL QUERY, by a client that leaves, by a limit."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import pytest

from tests.homes import eventually

FOREVER = "SELECT sum(cityHash64(number)) FROM numbers(1000000000000)"


@contextmanager
def in_background(server: Any, sql: str, user: str, **params: str) -> Iterator[list[Any]]:
    """Run a statement in a thread; its answer appears in the list."""
    answers: list[Any] = []
    thread = threading.Thread(
        target=lambda: answers.append(server.query(sql, user, timeout=60, **params))
    )
    thread.start()
    eventually(lambda: running(server), within=30)
    yield answers
    thread.join(30)
    assert not thread.is_alive()


def running(server: Any) -> int:
    """How many of the endless queries the engine still works on."""
    return int(
        server.ok(
            "SELECT count() FROM system.processes WHERE query LIKE '%1000000000000%' "
            "AND query NOT LIKE '%system.processes%'"
        )
    )


def gone_within(server: Any, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if running(server) == 0:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize("user", ["reader", "writer", "admin"])
def test_kill_query_by_the_clients_id(server: Any, user: str) -> None:
    with in_background(server, FOREVER, user, query_id=f"slow-{user}") as answers:
        killed = server.ok(
            f"KILL QUERY WHERE query_id = 'slow-{user}' SYNC FORMAT JSONEachRow", user
        )
        row = json.loads(killed)
        assert (row["query_id"], row["user"]) == (f"slow-{user}", user)
        assert row["query"] == FOREVER
    assert (answers[0].status, answers[0].code) == (500, 394)
    assert gone_within(server, 15)


def test_kill_reaches_ones_own_queries_only_unless_admin(server: Any) -> None:
    with in_background(server, FOREVER, "reader", query_id="of-reader") as answers:
        for other in ("reader2", "writer"):
            assert server.ok("KILL QUERY WHERE query_id = 'of-reader' SYNC", other) == ""
        assert server.ok("KILL QUERY WHERE 1 TEST", "reader").count("of-reader") == 1
        assert running(server) == 1 and not answers
        assert "of-reader" in server.ok("KILL QUERY WHERE user = 'reader' AND elapsed > 0.1")
    assert answers[0].code == 394


def test_kill_of_a_write_and_of_nothing(server: Any) -> None:
    server.ok("CREATE OR REPLACE TABLE staging.slow (x UInt64) ENGINE MergeTree ORDER BY x")
    sql = "INSERT INTO staging.slow SELECT sum(number) FROM numbers(1000000000000)"
    with in_background(server, sql, "writer", query_id="slow-write") as answers:
        assert "slow-write" in server.ok(
            "KILL QUERY WHERE query_id IN ('slow-write', 'other') SYNC"
        )
    assert answers[0].code == 394
    assert server.ok("SELECT count() FROM staging.slow") == "0\n"
    assert server.ok("KILL QUERY WHERE query_id = 'nothing'") == ""
    assert server.query("KILL QUERY WHERE query_id = ").code == 62


def test_an_id_that_runs_cannot_be_used_again(server: Any) -> None:
    with in_background(server, FOREVER, "reader", query_id="twice"):
        assert server.query("SELECT 1", "reader", query_id="twice").code == 216
        # The ids of one user are nothing to another.
        assert server.ok("SELECT 1", "reader2", query_id="twice") == "1\n"
        assert server.ok("KILL QUERY WHERE query_id = 'twice' SYNC", "reader2") == ""
        assert running(server) == 1
        server.ok("KILL QUERY WHERE query_id = 'twice'")
    assert server.ok("SELECT 1", "reader", query_id="twice") == "1\n"


@pytest.mark.parametrize("output", ["TSV", "JSON"])
def test_a_read_stops_when_its_client_leaves(server: Any, output: str) -> None:
    # Streamed and whole results wait in different places.
    sql = quote(f"{FOREVER} FORMAT {output}")
    with socket.create_connection(("127.0.0.1", server.port)) as sock:
        sock.sendall(
            f"GET /?user=reader&password=reader-secret&query={sql} HTTP/1.1\r\n"
            "Host: localhost\r\n\r\n".encode()
        )
        eventually(lambda: running(server) == 1, within=30)
    assert gone_within(server, 15)


def test_a_stream_stops_when_its_client_stops_reading(server: Any) -> None:
    sql = quote("SELECT number, toString(number) FROM numbers(1000000000000)")
    with socket.create_connection(("127.0.0.1", server.port)) as sock:
        sock.sendall(
            f"GET /?user=reader&password=reader-secret&query={sql} HTTP/1.1\r\n"
            "Host: localhost\r\n\r\n".encode()
        )
        received = 0
        while received < 5_000_000:
            received += len(sock.recv(1 << 16))
    assert gone_within(server, 15)


def test_memory_limits_answer_with_the_engines_code(server: Any) -> None:
    sql = "SELECT groupArray(toString(number)) FROM numbers(100000000)"
    query_limit = server.query(f"{sql} FORMAT Null", "reader", max_memory_usage="100000000")
    assert (query_limit.status, query_limit.code) == (500, 241)
    profile = server.query(f"SELECT * FROM (SELECT {sql[7:]}) FORMAT Null", "reader")
    assert profile.code == 241
    assert server.ok("SELECT 1") == "1\n"


def test_time_limit_answers_with_the_engines_code(server: Any) -> None:
    answer = server.query(FOREVER, "reader", max_execution_time="1")
    assert (answer.status, answer.code) == (408, 159)


def test_server_memory_limit(start_server: Any) -> None:
    setting = ("--memory-setting", "SOME__MEMORY_GB=3")
    server = start_server("--max-memory", str(600 * 1024**2), *setting)
    answer = server.query("SELECT groupArray(toString(number)) FROM numbers(100000000) FORMAT Null")
    assert answer.code == 241
    assert b"The limit follows SOME__MEMORY_GB, now 3; " in answer.body
    # What can be put aside is put aside: a sort of more than the memory.
    text = "concat(toString(number), repeat('x', 50))"
    wide = f"SELECT {text} AS t FROM numbers(12000000) ORDER BY cityHash64(t) FORMAT Null"
    assert server.query(wide, max_block_size="8192").status == 200
    assert server.ok("SELECT 1") == "1\n"


def test_too_many_queries_are_told_so(start_server: Any) -> None:
    server = start_server("--max-queries", "1", "--queue-seconds", "0.3", "--drain-seconds", "0.2")
    with in_background(server, FOREVER, "reader") as answers:
        refused = server.query("SELECT 1", "reader")
        # clickhouse-connect tries again after 503.
        assert (refused.status, refused.code) == (503, 202)
        for other in ("reader2", "writer", "admin"):
            assert server.ok("SELECT 1", other) == "1\n"
        assert server.query(method="GET").body == b"Ok.\n"
        assert server.stop() == 0
    assert answers[0].code == 394


def test_a_statement_or_form_that_is_too_large(server: Any) -> None:
    huge = server.query("SELECT '" + "x" * 5_000_000 + "'")
    assert (huge.status, huge.code) == (413, 223)
    parsed = server.query("SELECT '" + "x" * 2_000_000 + "'")
    assert parsed.code == 62
    assert server.ok("SELECT length('" + "x" * 200_000 + "')") == "200000\n"
    address = server.query(method="GET", query="SELECT '" + "x" * 2_000_000 + "'")
    assert address.status == 431
