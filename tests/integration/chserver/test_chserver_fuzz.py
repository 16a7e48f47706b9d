"""Random statements against the engine itself: a restricted role must not read the canary.

The guard's lexer and the engine's parser are two programs; here they have to agree. Statements are
put together from pieces that hide names, strings, comments and settings from each other.
"""

import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

CANARY = "canary-7f3a"

NAMES = st.sampled_from(
    ["file", "`file`", '"file"', "`fi\\x6ce`", '"fi\\x6ce"', "“file”", "FILE", "fi/**/le", "ﬁle"]
)
GAPS = st.sampled_from(
    ["", " ", "/* ' */", "/* /* */", "-- '\n", "# '\n", "\n", "\u00a0", "\ufeff"]
)
WRAPS = st.sampled_from(
    [
        "SELECT {f}{g}('{p}')",
        "SELECT '\\'' || {f}{g}('{p}')",
        "SELECT $$ ' $$, {f}{g}('{p}') -- '",
        "SELECT * APPLY {g}({f}) FROM (SELECT '{p}')",
        "SELECT arrayMap({f}{g}, ['{p}'])",
        "SELECT arrayMap(x -> {f}{g}(x), ['{p}'])",
        "WITH {f}{g}('{p}') AS x SELECT x",
        "SELECT 1 {g} FORMAT CSV; SELECT {f}('{p}')",
        "SELECT * FROM {f}{g}('{p}', 'LineAsString', 'x String')",
        "SELECT * FROM {f}{g}('{p}')",
        "SELECT * FROM {g} `{p}`",
        "SELECT * FROM format(JSONEachRow, 'x Int8, y String DEFAULT {f}(\\'{p}\\')', "
        "'{{\"x\":1}}')",
        "SELECT * FROM eval('SELECT {f}(\\'{p}\\')') "
        "SETTINGS allow_experimental_eval_table_function=1",
        "SELECT 1 SETTINGS profile{g}='admin', readonly=0",
        "INSERT INTO staging.fuzz VALUES {g} ({f}('{p}'))",
        "INSERT INTO staging.fuzz SELECT {f}{g}('{p}')",
        "INSERT INTO staging.fuzz /* VALUES */ SELECT {f}{g}('{p}')",
        "EXPLAIN SYNTAX SELECT {f}{g}('{p}')",
        "EXPLAIN ESTIMATE SELECT {f}{g}('{p}')",
        "CREATE VIEW staging.fuzz_v AS SELECT {f}{g}('{p}')",
        "SELECT * FROM merge('lake', '.*')",
        "SET role{g}admin",
        "SET{g}ROLE{g}admin",
        "/* */ SET ROLE {g} ALL",
        "(SELECT symbol FROM lake.quotes)",
        "SELECT 1 FROM lake{g}.{g}quotes",
    ]
)


@pytest.fixture(scope="module")
def canary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fuzz") / "canary.txt"
    path.write_text(CANARY)
    return path


@settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(NAMES, GAPS, WRAPS, st.sampled_from(["reader", "writer"]))
def test_no_disguise_gets_through(
    server: Any, canary: Path, name: str, gap: str, wrap: str, user: str
) -> None:
    server.ok("CREATE TABLE IF NOT EXISTS staging.fuzz (x String) ENGINE MergeTree ORDER BY x")
    statement = wrap.format(f=name, g=gap, p=canary)
    answer = server.query(statement, user, session_id=f"fuzz-{user}")
    assert CANARY not in answer.text, statement
    if user == "reader" and "lake" in wrap:
        assert answer.status >= 400, statement
    # The session is what it was: its role, and nothing of the file in a table.
    left = server.ok("SELECT currentRoles()", user, session_id=f"fuzz-{user}")
    assert left == f"['{user}']\n", statement
    assert server.ok(f"SELECT count() FROM staging.fuzz WHERE x LIKE '%{CANARY}%'") == "0\n"


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                *(
                    b"POST /?query=",
                    b"GET /",
                    b"SELECT+1",
                    b" HTTP/1.1\r\n",
                    b"Host: localhost\r\n",
                    b"\r\n",
                ),
                *(
                    b"Content-Length: 5\r\n",
                    b"Content-Length: -5\r\n",
                    b"Content-Encoding: zstd\r\n",
                ),
                *(
                    b"Transfer-Encoding: chunked\r\n",
                    b"5\r\nhello\r\n",
                    b"0\r\n\r\n",
                    b"ffffffff\r\n",
                ),
                *(b"X-ClickHouse-User: reader\r\nX-ClickHouse-Key: reader-secret\r\n", b"\x00\xff"),
                *(
                    b"Content-Type: multipart/form-data; boundary=x\r\n",
                    b"--x\r\n",
                    b"INSERT INTO ",
                ),
            ]
        ),
        max_size=14,
    ).map(b"".join)
)
def test_the_server_outlives_any_request(server: Any, request_bytes: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as sock:
        sock.sendall(request_bytes)
        sock.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := sock.recv(65536):
            answer += piece
    assert not answer or answer.startswith(b"HTTP/1.1 ")
    assert b"internal error" not in answer
    assert server.process.poll() is None
