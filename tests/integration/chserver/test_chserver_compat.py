"""What a stock server takes and answers, request by request."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any

import pytest

from deploy.chserver.blocks import BlockEncoder, BlockReader

PRICES = "SELECT symbol, close FROM marts.prices ORDER BY symbol"


@pytest.fixture
def table(server: Any) -> str:
    server.ok("CREATE OR REPLACE TABLE staging.texts (a String) ENGINE = Memory")
    return "staging.texts"


def unpacked(data: bytes) -> bytes:
    reader = BlockReader(io.BytesIO(data))
    return b"".join(iter(reader.read, b""))


@pytest.mark.parametrize(
    "params",
    [
        {"max_execution_time": "65", "default_format": "TSV", "database": "default"},
        {"extremes": "0", "max_result_rows": "200", "result_overflow_mode": "break",
         "session_id": "jdbc", "session_timeout": "30"},
        {"network_compression_method": "ZSTD", "readonly": "2"},
        {"wait_end_of_query": "1", "readonly": "1"},
    ],
)  # fmt: skip
def test_answers_in_compressed_blocks(server: Any, params: dict[str, str]) -> None:
    answer = server.query(PRICES, "reader", compress="1", **params)
    assert answer.status == 200, answer.text
    assert answer.body != b"AAPL\t1.5\nMSFT\t2.5\n"
    assert unpacked(answer.body) == b"AAPL\t1.5\nMSFT\t2.5\n"


def test_blocks_within_https_compression_and_long_results(server: Any) -> None:
    sql = "SELECT number FROM numbers(1000000) FORMAT RowBinary"
    answer = server.query(
        sql, "reader", compress="1", enable_http_compression="1",
        headers={"Accept-Encoding": "gzip"},
    )  # fmt: skip
    assert answer.headers["Content-Encoding"] == "gzip"
    data = unpacked(gzip.decompress(answer.body))
    assert len(data) == 8_000_000 and data[-8:] == (999_999).to_bytes(8, "little")


def test_errors_of_compressed_requests(server: Any) -> None:
    assert "UNKNOWN_IDENTIFIER" in server.query("SELECT nope", "reader", compress="1").text
    wrong = server.query("SELECT 1", "reader", compress="1", network_compression_method="nope")
    assert wrong.status >= 400
    whole = BlockEncoder("LZ4").compress(b"SELECT 1")
    damaged = bytes([whole[0] ^ 1]) + whole[1:]
    assert server.query(whole, "reader", decompress="1").text == "1\n"
    assert server.query(damaged, "reader", decompress="1").code == 40
    unchecked = {"http_native_compression_disable_checksumming_on_decompress": "1"}
    assert server.query(damaged, "reader", decompress="1", **unchecked).text == "1\n"
    for cut in (whole[:-1], whole[:20], b"SELECT 1"):
        assert server.query(cut, "reader", decompress="1").code == 271
    size = whole[:17] + (1 << 30).to_bytes(4, "little") + whole[21:]
    assert server.query(size, "reader", decompress="1").code == 271


@pytest.mark.parametrize("method", ["LZ4", "ZSTD", "NONE"])
def test_inserts_in_compressed_blocks(server: Any, table: str, method: str) -> None:
    encoder = BlockEncoder(method)
    body = encoder.compress(f"INSERT INTO {table} FORMAT CSV\n".encode()) + b"".join(
        encoder.compress(b"%d;\n" % i) for i in range(100)
    )
    assert server.query(body, "writer", decompress="1").status == 200
    assert server.ok(f"SELECT count(), any(endsWith(a, ';')) FROM {table}") == "100\t1\n"


@pytest.mark.parametrize(
    "head",
    [
        "WITH 1 AS x INSERT INTO {} FORMAT CSV\n",
        "WITH y AS (SELECT 1), [2] AS insert INSERT INTO {} (a) FORMAT CSV\n",
        "with 1 as x insert into {} settings max_threads = 1 format CSV\n",
    ],
)
def test_with_before_an_insert_keeps_every_byte(server: Any, table: str, head: str) -> None:
    assert server.query(head.format(table) + "ab;\ncd;", "writer").status == 200
    assert server.ok(f"SELECT a FROM {table} ORDER BY a") == "ab;\ncd;\n"
    server.ok(f"WITH y AS (SELECT 'e' AS a) INSERT INTO {table} SELECT a FROM y", "writer")
    assert server.ok(f"SELECT count() FROM {table}") == "3\n"


def test_with_before_an_insert_brings_a_reader_no_rights(server: Any) -> None:
    for tail in ("VALUES ('X', 1)", "SELECT 'X', 1", "FORMAT CSV\nX,1"):
        answer = server.query(f"WITH 1 AS x INSERT INTO marts.prices {tail}", "reader")
        assert answer.code == 497, answer.text
    assert server.query("WITH 1 AS x INSERT INTO lake.quotes VALUES ('x')", "writer").code == 497


def test_parameters_of_an_insert(server: Any, table: str) -> None:
    server.ok("CREATE OR REPLACE TABLE staging.pairs (a String, b Int32) ENGINE = Memory")
    sql = "INSERT INTO staging.{t:Identifier} VALUES ({a:String}, {b:Int32}), ('{a:String}', 1)"
    answer = server.query(sql, "writer", param_t="pairs", param_a="it's\\t;", param_b="-7")
    assert answer.status == 200, answer.text
    assert server.ok("SELECT * FROM staging.pairs FORMAT JSONCompactEachRow") == (
        '["it\'s\\t;", -7]\n["{a:String}", 1]\n'
    )
    assert server.query("INSERT INTO staging.texts VALUES ({nope:String})", "writer", param_a="1",
                        ).code == 456  # fmt: skip
    hostile = server.query(
        "INSERT INTO staging.texts VALUES ({a:Array(String)})", "writer", param_a="[file('x')]"
    )
    assert hostile.code == 36


@pytest.mark.parametrize("way", ["body", "address"])
def test_statements_of_any_bytes(server: Any, table: str, way: str) -> None:
    sql = f"INSERT INTO {table} SELECT '".encode() + b"\xff\xfe\x80" + b"'"
    asked: dict[str, Any] = {"sql": sql} if way == "body" else {"query": sql}
    answer = server.query(user="writer", **asked)
    assert answer.status == 200, answer.text
    assert server.query(f"SELECT a FROM {table} FORMAT RawBLOB").body == b"\xff\xfe\x80"
    assert server.query(b"SELECT '\xff", "reader").code == 62
    assert server.query("SELECT {x:String}", "reader", param_x=b"\xff").code == 36


@pytest.mark.parametrize("text", [b"file('%s', '\xff')", b"`fi\\x6ce`('%s') || '\xff'"])
def test_odd_bytes_hide_nothing_from_the_guard(server: Any, tmp_path: Path, text: bytes) -> None:
    canary = tmp_path / "canary.txt"
    canary.write_text("canary")
    for user in ("reader", "writer"):
        answer = server.query(b"SELECT " + text % str(canary).encode(), user)
        assert answer.code == 497 and b"canary\n" not in answer.body


@pytest.mark.parametrize("sql", ["SHOW TABLES FROM marts LIKE 'nothing'", f"{PRICES} LIMIT 0"])
def test_empty_results_say_their_format(server: Any, sql: str) -> None:
    for name in ("JSON", "Native", "TSVWithNames"):
        answer = server.query(sql, "reader", default_format=name)
        assert answer.headers["X-ClickHouse-Format"] == name
    assert server.query(sql, "reader", default_format="TSVWithNames").text.count("\n") == 1
    created = server.query("CREATE TABLE IF NOT EXISTS staging.x (a Int8) ENGINE = Memory")
    assert created.headers["X-ClickHouse-Format"] is None


def test_time_zones_of_columns(server: Any) -> None:
    with server.client("reader") as client:
        assert client.protocol_version == 54405
        sql = "SELECT toDateTime(0, 'Asia/Tokyo') AS t, now() AS n, number FROM numbers(3)"
        result = client.query(sql)
        assert [kind.name for kind in result.column_types][:2] == [
            "DateTime('Asia/Tokyo')", "DateTime",
        ]  # fmt: skip
        assert str(result.result_rows[2][0]) == "1970-01-01 09:00:00+09:00"
        assert client.query_df(sql)["t"].dt.tz.key == "Asia/Tokyo"


def test_metadata_hold_what_the_account_may_see(server: Any) -> None:
    for name, column in (("databases", "name"), ("tables", "database"), ("columns", "database")):
        sql = f"SELECT DISTINCT {column} FROM system.{name} WHERE {column} NOT ILIKE 'information%'"
        assert server.ok(sql, "reader", readonly="1") == "marts\n", name
    for name, least in (("functions", 1000), ("settings", 1000), ("dictionaries", 0)):
        assert int(server.ok(f"SELECT count() FROM system.{name}", "reader")) >= least
