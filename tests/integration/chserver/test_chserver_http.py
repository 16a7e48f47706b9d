"""The HTTP interface itself, with curl and plain sockets: what clients may send and get."""

import gzip
import io
import json
import lzma
import socket
import subprocess
import time
from typing import Any

import lz4.frame
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from tests.homes import eventually


def curl(
    server: Any, *arguments: str, data: bytes | None = None
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["curl", "-sS", "--max-time", "60", *arguments],
        input=data,
        capture_output=True,
        timeout=90,
    )


def credentials(server: Any, user: str = "writer") -> list[str]:
    return ["-u", f"{user}:{server.passwords[user]}"]


def raw(server: Any, request: bytes, *, ends: bool = False, wait: float = 10) -> bytes:
    """Send bytes and return everything that comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=wait) as sock:
        sock.sendall(request)
        if ends:
            sock.shutdown(socket.SHUT_WR)
        received = b""
        while piece := sock.recv(65536):
            received += piece
    return received


def test_health_needs_no_password(server: Any) -> None:
    url = f"http://127.0.0.1:{server.port}"
    for path in ("/ping", "/", "/replicas_status"):
        assert curl(server, url + path).stdout == b"Ok.\n"
    assert curl(server, "-I", url + "/ping").stdout.startswith(b"HTTP/1.1 200")
    assert curl(server, "-w", "%{http_code}", "-o", "/dev/null", url + "/play").stdout == b"404"


def test_metrics_are_prometheus_text(server: Any) -> None:
    server.ok("SELECT 1", "reader")
    page = curl(server, f"http://127.0.0.1:{server.port}/metrics").stdout.decode()
    samples = dict(line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#"))
    assert float(samples['chserver_requests_total{role="reader",kind="SELECT"}']) >= 1
    assert float(samples["chserver_engine_MemoryTracking"]) > 0
    buckets = [
        float(v) for k, v in samples.items() if k.startswith("chserver_request_seconds_bucket")
    ]
    assert buckets == sorted(buckets)
    assert buckets[-1] == float(samples["chserver_request_seconds_count"])


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("TSV", "AAPL\t1.5\nMSFT\t2.5\n"),
        ("CSV", '"AAPL",1.5\n"MSFT",2.5\n'),
        ("CSVWithNames", '"symbol","close"\n"AAPL",1.5\n"MSFT",2.5\n'),
        ("JSONEachRow", '{"symbol":"AAPL","close":1.5}\n{"symbol":"MSFT","close":2.5}\n'),
        ("Values", "('AAPL',1.5),('MSFT',2.5)"),
    ],
)
def test_text_formats(server: Any, output: str, expected: str) -> None:
    sql = "SELECT symbol, close FROM marts.prices ORDER BY symbol"
    url = f"http://127.0.0.1:{server.port}/"
    by_clause = curl(server, *credentials(server), url, "--data", f"{sql} FORMAT {output}")
    by_header = curl(
        server, *credentials(server), url, "-H", f"X-ClickHouse-Format: {output}", "-d", sql
    )
    by_parameter = curl(
        server, *credentials(server), "-G", url,
        "--data-urlencode", f"query={sql}", "-d", f"default_format={output}",
    )  # fmt: skip
    assert by_clause.stdout.decode() == expected
    assert by_header.stdout == by_parameter.stdout == by_clause.stdout


def test_json_parquet_and_arrow(server: Any) -> None:
    sql = "SELECT number AS n, toString(number) AS s FROM numbers(150000)"
    answer = json.loads(server.ok(f"{sql} FORMAT JSON"))
    assert answer["rows"] == 150000 and answer["data"][7] == {"n": 7, "s": "7"}
    expected = pa.table({"n": pa.array(range(150000), pa.uint64())})["n"]
    parquet = pq.read_table(io.BytesIO(server.query(f"{sql} FORMAT Parquet").body))
    arrow = pa.ipc.open_file(server.query(f"{sql} FORMAT Arrow").body).read_all()
    stream = pa.ipc.open_stream(server.query(f"{sql} FORMAT ArrowStream").body).read_all()
    for table in (parquet, arrow, stream):
        assert table["n"].equals(expected) and table["s"][149999].as_py() == "149999"


@pytest.mark.parametrize(
    ("output", "heads"),
    [
        ("TSVWithNames", 1),
        ("TSVWithNamesAndTypes", 2),
        ("JSONCompactEachRowWithNamesAndTypes", 2),
        ("CSVWithNames", 1),
        ("CSVWithNamesAndTypes", 2),
    ],
)
def test_a_head_comes_once_however_long_the_result(server: Any, output: str, heads: int) -> None:
    lines = server.ok(f"SELECT number AS n FROM numbers(200000) FORMAT {output}").splitlines()
    assert len(lines) == 200000 + heads
    assert server.ok(f"SELECT 1 AS n WHERE 0 FORMAT {output}").count("\n") == heads


@pytest.mark.parametrize("output", ["CSV", "JSONEachRow", "Parquet", "ArrowStream", "Native"])
def test_insert_in_every_format_gives_the_same_rows(server: Any, output: str) -> None:
    server.ok(
        "CREATE OR REPLACE TABLE staging.copy (n UInt64, s String) ENGINE MergeTree ORDER BY n"
    )
    body = server.query(
        f"SELECT number AS n, toString(number) AS s FROM numbers(70000) FORMAT {output}", "writer"
    ).body
    answer = server.query(body, "writer", query=f"INSERT INTO staging.copy FORMAT {output}")
    assert answer.status == 200, answer.text
    assert json.loads(answer.headers["X-ClickHouse-Summary"])["written_rows"] == "70000"
    assert server.ok("SELECT count(), sum(n), uniqExact(s) FROM staging.copy") == (
        f"70000\t{sum(range(70000))}\t70000\n"
    )


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [
        ("gzip", gzip.compress),
        ("lz4", lz4.frame.compress),
        ("zstd", zstandard.ZstdCompressor().compress),
        ("xz", lzma.compress),
    ],
)
def test_compressed_requests_and_responses(server: Any, encoding: str, compress: Any) -> None:
    body = compress(b"SELECT sum(number) FROM numbers(10)")
    assert server.query(body, headers={"Content-Encoding": encoding}).body == b"45\n"
    broken = server.query(body[:-6], headers={"Content-Encoding": encoding})
    assert broken.code == 354 and broken.status == 400
    garbage = server.query(b"SELECT 1", headers={"Content-Encoding": encoding})
    assert garbage.code == 354
    if encoding != "xz":
        answer = server.query(
            "SELECT number FROM numbers(100000)",
            headers={"Accept-Encoding": encoding},
            enable_http_compression="1",
        )
        assert answer.headers["Content-Encoding"] == encoding
        opened = {
            "gzip": gzip.decompress,
            "lz4": lz4.frame.decompress,
            "zstd": lambda b: zstandard.ZstdDecompressor().decompressobj().decompress(b),
        }[encoding](answer.body)
        assert opened == b"".join(b"%d\n" % n for n in range(100000))


def test_unknown_compression_is_refused(server: Any) -> None:
    assert server.query(b"x", headers={"Content-Encoding": "rot13"}).code == 89
    wanted = {"compress": "1", "network_compression_method": "rot13"}
    assert server.query("SELECT 1", **wanted).code in (36, 89)


def test_curl_streams_an_insert_of_any_size(server: Any) -> None:
    server.ok("CREATE OR REPLACE TABLE staging.big (x UInt64) ENGINE MergeTree ORDER BY x")
    rows = b"".join(b"%d\n" % n for n in range(1_000_000))
    done = curl(
        server, *credentials(server), "-H", "Transfer-Encoding: chunked", "--data-binary", "@-",
        f"http://127.0.0.1:{server.port}/?query=INSERT+INTO+staging.big+FORMAT+TSV", data=rows,
    )  # fmt: skip
    assert done.returncode == 0 and done.stdout == b""
    assert server.ok("SELECT count(), sum(x) FROM staging.big") == f"1000000\t{sum(range(10**6))}\n"


def test_an_insert_that_breaks_off_leaves_nothing(server: Any) -> None:
    server.ok("CREATE OR REPLACE TABLE staging.part (x UInt64) ENGINE MergeTree ORDER BY x")
    head = (
        b"POST /?query=INSERT+INTO+staging.part+FORMAT+TSV HTTP/1.1\r\nHost: localhost\r\n"
        b"X-ClickHouse-User: writer\r\nX-ClickHouse-Key: writer-secret\r\n"
        b"Content-Length: 1000\r\n\r\n"
    )
    answer = raw(server, head + b"1\n2\n3\n", ends=True)
    assert b"400" in answer.split(b"\r\n")[0] and b"Code: 33" in answer
    assert server.ok("SELECT count() FROM staging.part") == "0\n"


def test_errors_before_and_in_the_middle_of_a_result(server: Any) -> None:
    before = server.query("SELECT * FROM marts.nothing")
    assert (before.status, before.code) == (404, 60)
    assert before.text.startswith("Code: 60. DB::Exception: ") and "(UNKNOWN_TABLE)" in before.text
    url = f"http://127.0.0.1:{server.port}/"
    sql = "SELECT throwIf(number = 2000000) FROM numbers(3000000) SETTINGS max_threads = 1"
    middle = curl(server, *credentials(server), url, "-d", sql)
    # 18: the transfer ended early, so half a result is not mistaken for a whole one.
    assert middle.returncode == 18
    assert b"__exception__" in middle.stdout and b"Code: 395" in middle.stdout
    whole = server.query(sql, wait_end_of_query="1")
    assert (whole.status, whole.code) == (500, 395)


def test_get_only_reads(server: Any) -> None:
    refused = server.query(method="GET", query="CREATE TABLE marts.x (a Int8) ENGINE Memory")
    assert refused.code == 164
    assert server.query(method="GET", query="SELECT 1").body == b"1\n"
    assert server.query(method="HEAD", query="SELECT 1").body == b""
    assert server.query("SELECT 1", method="DELETE").status == 501


def test_parameters_settings_and_database(server: Any) -> None:
    sql = "SELECT {a:Int32} + 1, {s:String}, getSetting('max_threads'), currentDatabase()"
    answer = server.ok(
        sql, param_a="41", param_s="it's\\ttabbed", max_threads="3", database="marts"
    )
    assert answer == "42\tit\\'s\\ttabbed\t3\tmarts\n"
    assert server.query("SELECT 1", nonsense="1").code == 115
    assert server.query("SELECT 1", database="nowhere").code == 81
    assert server.query("SELECT {a:Int32}").code == 456


def test_one_statement_a_request(server: Any) -> None:
    for sql in ("SELECT 1; SELECT 2", "SELECT 1; DROP TABLE marts.prices", ";", " -- nothing"):
        assert server.query(sql).code == 62
    assert server.ok("SELECT 1;") == "1\n"
    assert server.query(b"SELECT '\xff\xfe'").body == b"\xff\xfe\n"


def test_credentials_come_one_way_only(server: Any) -> None:
    url = f"http://127.0.0.1:{server.port}/?query=SELECT+currentRoles()"
    basic = credentials(server, "reader")
    assert curl(server, *basic, url).stdout == b"['reader']\n"
    assert curl(server, url + "&user=reader&password=reader-secret").stdout == b"['reader']\n"
    both = curl(server, *basic, "-H", "X-ClickHouse-User: admin", url)
    assert b"Code: 516" in both.stdout
    for wrong in (["-u", "reader:no"], ["-u", "nobody:no"], ["-H", "Authorization: Bearer x"], []):
        answer = curl(server, *wrong, "-w", "%{http_code}", url).stdout
        assert b"Code: 516" in answer and answer.endswith(b"403")


def test_sessions_keep_settings_tables_and_database(server: Any) -> None:
    def run(sql: str, **params: str) -> str:
        return str(server.ok(sql, session_id="s-1", session_timeout="30", **params))

    run("CREATE TEMPORARY TABLE kept (x Int32)")
    run("INSERT INTO kept VALUES (1), (2)")
    run("SET max_block_size = 777")
    run("USE marts")
    assert run("SELECT sum(x), getSetting('max_block_size') FROM kept") == "3\t777\n"
    assert run("SELECT getSetting('max_block_size')", max_block_size="5") == "5\n"
    assert run("SELECT getSetting('max_block_size'), currentDatabase()") == "777\tmarts\n"
    assert run("SELECT currentDatabase()", database="staging") == "staging\n"
    assert run("SELECT currentDatabase()") == "marts\n"
    # Another user's session of the same name is another session.
    assert server.query("SELECT * FROM kept", "reader", session_id="s-1").code == 497
    assert server.query("SELECT 1", session_id="s-unknown", session_check="1").code == 372
    run("SELECT 1", close_session="1")
    assert server.query("SELECT * FROM kept", session_id="s-1").code == 60


def test_a_session_serves_one_request_at_a_time_and_expires(server: Any) -> None:
    import threading

    thread = threading.Thread(target=lambda: server.ok("SELECT sleep(2)", session_id="busy"))
    thread.start()
    sleeping = "SELECT count() FROM system.processes WHERE query LIKE 'SELECT sl%'"
    eventually(lambda: server.ok(sleeping) == "1\n", within=30)
    assert server.query("SELECT 1", session_id="busy").code == 373
    thread.join()
    server.ok("SET max_threads = 1", session_id="short", session_timeout="0.1")
    time.sleep(1.5)
    assert server.query("SELECT 1", session_id="short", session_check="1").code == 372


def test_external_data_is_gone_after_the_request(server: Any) -> None:
    url = f"http://127.0.0.1:{server.port}/?query=SELECT+sum(x)+FROM+ext"
    for user in ("admin", "writer", "reader"):
        done = curl(
            server, *credentials(server, user), "-F", "ext=@-;filename=ext", "-F",
            "ext_structure=x Int32, y String", "-F", "ext_format=CSV", url, data=b"1,a\n2,b\n",
        )  # fmt: skip
        assert done.stdout == b"3\n", done.stdout
        # chDB takes an unknown name in the database default for a file, which is denied.
        assert server.query("SELECT * FROM ext", user).code == (60 if user == "admin" else 497)


def test_progress_headers(server: Any) -> None:
    answer = server.query(
        "SELECT sum(cityHash64(number)) FROM numbers(1000000000) SETTINGS max_threads = 1",
        send_progress_in_http_headers="1",
    )
    assert answer.status == 200 and answer.body.strip().isdigit()
    steps = [json.loads(v) for v in answer.headers.get_all("X-ClickHouse-Progress") or []]
    rows = [int(step["read_rows"]) for step in steps]
    assert len(rows) >= 2 and rows == sorted(rows) and rows[-1] <= 1000000000
    assert json.loads(answer.headers["X-ClickHouse-Summary"])["result_rows"] == "1"


def test_query_ids_are_the_clients(server: Any) -> None:
    assert server.query("SELECT 1", query_id="mine-1").headers["X-ClickHouse-Query-Id"] == "mine-1"
    first = server.query("SELECT 1").headers["X-ClickHouse-Query-Id"]
    assert first and first != server.query("SELECT 1").headers["X-ClickHouse-Query-Id"]
    # A header is a line whatever the id contains.
    odd = server.query("SELECT 1", query_id="a\r\nX-Evil: 1")
    assert "X-Evil" not in odd.headers and odd.status == 200


def test_keep_alive_and_pipelining(server: Any) -> None:
    request = (
        b"POST / HTTP/1.1\r\nHost: localhost\r\nX-ClickHouse-User: reader\r\n"
        b"X-ClickHouse-Key: reader-secret\r\nContent-Length: 8\r\nConnection: %s\r\n\r\nSELECT %d"
    )
    # A client that closed its half at once would count as gone, and its queries be stopped.
    last = {3: b"close"}
    answer = raw(server, b"".join(request % (last.get(n, b"keep-alive"), n) for n in (1, 2, 3)))
    assert answer.count(b"HTTP/1.1 200") == 3
    assert [answer.find(b"\r\n%d\n\r\n" % n) > 0 for n in (1, 2, 3)] == [True] * 3
    assert raw(server, b"GET /ping HTTP/1.0\r\n\r\n").endswith(b"\r\n\r\nOk.\n")


def test_expect_100_continue(server: Any) -> None:
    done = curl(
        server, *credentials(server), "-v", "-H", "Expect: 100-continue", "-d", "SELECT 5",
        f"http://127.0.0.1:{server.port}/",
    )  # fmt: skip
    assert done.stdout == b"5\n" and b"HTTP/1.1 100" in done.stderr
