"""What other drivers do with the server; run in an environment that has them, prints its checks.

clickhouse-driver reads Native and compressed blocks over TCP in their own code, so it judges here
what Grafana's and JDBC's drivers get over HTTP.
"""

import asyncio
import datetime as dt
import io
import os
import socket
import sys
import urllib.parse
import urllib.request
from typing import Any

PORT, SECRETS = int(sys.argv[1]), {"reader": sys.argv[2], "writer": sys.argv[3]}
URL = f"http://127.0.0.1:{PORT}"

TYPES = [
    "toUInt64(number)", "toString(number)", "repeat('x', 200 + number)", "toNullable(number)",
    "toLowCardinality(toString(number % 3))", "[number, 1]", "(toInt8(number % 100), 'x')",
    "map('a', number)", "CAST(number % 2, 'Enum8(\\'a\\' = 0, \\'b, c(\\' = 1)')",
    "toFixedString('abc', 5)", "toDecimal64(number, 3)", "toDecimal256(1, 3)", "true",
    "toUUID('61f0c404-5cb3-11e7-907b-a6006ad3dba0')", "toIPv4('1.2.3.4')", "toDate32('2020-01-01')",
    "toDateTime64('2020-01-01 00:00:00', 3, 'UTC')", "[toLowCardinality(toNullable('k'))]",
    "map(toLowCardinality('k'), [toNullable(1)])", "CAST((1, 'a'), 'Tuple(a Int8, `b c` String)')",
    "arrayMap(x -> (x, toString(x)), range(number % 4))", "toDateTime(number, 'Asia/Shanghai')",
    "toLowCardinality(toString(number % 300))", "NULL", "toDateTime(number)", "number % 7",
]  # fmt: skip
SELECT = "SELECT " + ", ".join(f"{kind} AS c{i}" for i, kind in enumerate(TYPES))


def ask(sql: bytes, user: str = "reader", **params: object) -> bytes:
    request = urllib.request.Request(
        f"{URL}/?{urllib.parse.urlencode(params)}",
        data=sql,
        headers={"X-ClickHouse-User": user, "X-ClickHouse-Key": SECRETS[user]},
    )
    with urllib.request.urlopen(request) as answer:
        return bytes(answer.read())


def context(revision: int) -> Any:
    from clickhouse_driver.connection import ServerInfo
    from clickhouse_driver.context import Context

    made = Context()
    made.settings, made.client_settings = {}, {
        "strings_as_bytes": False, "strings_encoding": "utf-8", "use_numpy": False,
        "opentelemetry_traceparent": None, "opentelemetry_tracestate": "", "quota_key": "",
        "input_format_null_as_default": False, "namedtuple_as_json": True, "server_side_params": 0,
    }  # fmt: skip
    made.server_info = ServerInfo("x", 26, 9, 2, revision, "UTC", "x", revision)
    return made


def read_blocks(data: bytes, revision: int, compressed: bool) -> tuple[list[str], list[tuple]]:
    from clickhouse_driver.bufferedreader import BufferedSocketReader
    from clickhouse_driver.streams.compressed import CompressedBlockInputStream
    from clickhouse_driver.streams.native import BlockInputStream

    ours, theirs = socket.socketpair()
    names: list[str] = []
    rows: list[tuple] = []
    with ours, theirs:
        import threading

        sender = threading.Thread(target=lambda: (theirs.sendall(data), theirs.close()))
        sender.start()
        kind = CompressedBlockInputStream if compressed else BlockInputStream
        stream = kind(BufferedSocketReader(ours, 1 << 20), context(revision))
        while True:
            try:
                block = stream.read()
            except EOFError:
                break
            names = [kind for _, kind in block.columns_with_types]
            rows += block.get_rows()
        sender.join()
    return names, rows


def native_of_every_version() -> None:
    sql = f"{SELECT} FROM numbers(1000) SETTINGS max_block_size = 300".encode()
    _, expected = read_blocks(ask(sql, default_format="Native"), 0, False)
    assert len(expected) == 1000 and expected[999][:2] == (999, "999")
    for revision in (54405, 54454, 54460):
        params = {"default_format": "Native", "client_protocol_version": revision}
        for whole in (0, 1):
            answer = ask(sql, wait_end_of_query=whole, **params)
            types, rows = read_blocks(answer, revision, False)
            assert "DateTime('Asia/Shanghai')" in types and "DateTime" in types, types
            dates = [i for i, kind in enumerate(types) if kind.startswith("DateTime(")]
            for row, plain in zip(rows, expected, strict=True):
                assert [v for i, v in enumerate(row) if i not in dates] == [
                    v for i, v in enumerate(plain) if i not in dates
                ]
            assert rows[0][dates[0]].tzinfo.zone == "Asia/Shanghai"
    print("native of every version")


def compressed_blocks() -> None:
    from clickhouse_driver.bufferedwriter import CompressedBufferedWriter
    from clickhouse_driver.compression import get_compressor_cls

    expected = [("AAPL", 1.5), ("MSFT", 2.5)]
    sql = b"SELECT symbol, close FROM marts.prices ORDER BY symbol"
    for method in ("LZ4", "ZSTD"):
        answer = ask(
            sql, compress=1, default_format="Native", client_protocol_version=54454,
            network_compression_method=method, max_execution_time=65,
        )  # fmt: skip
        assert read_blocks(answer, 54454, True)[1] == expected
    assert CompressedBufferedWriter and get_compressor_cls
    from clickhouse_driver.block import ColumnOrientedBlock
    from clickhouse_driver.streams.compressed import CompressedBlockOutputStream

    ask(b"CREATE OR REPLACE TABLE staging.packed (a Int32, b String) ENGINE = Memory", "writer")
    for method in ("lz4", "zstd"):
        sent = io.BytesIO()
        stream = CompressedBlockOutputStream(get_compressor_cls(method), 1 << 20, sent, context(0))
        block = ColumnOrientedBlock(
            columns_with_types=[("a", "Int32"), ("b", "String")], data=[(1, 2), ("x;", "é" * 9)]
        )
        stream.write(block)
        ask(
            sent.getvalue(), "writer", decompress=1,
            query="INSERT INTO staging.packed FORMAT Native",
        )  # fmt: skip
    got = ask(b"SELECT a, count(), any(b) FROM staging.packed GROUP BY a ORDER BY a", "writer")
    assert got == f"1\t2\tx;\n2\t2\t{'é' * 9}\n".encode(), got
    print("compressed blocks")


def through_sqlalchemy() -> None:
    from clickhouse_sqlalchemy import engines, types
    from sqlalchemy import Column, MetaData, Table, create_engine, inspect, select, text

    def engine(user: str, database: str) -> Any:
        return create_engine(
            f"clickhouse+http://{user}:{SECRETS[user]}@127.0.0.1:{PORT}/{database}"
        )

    reader, writer = engine("reader", "marts"), engine("writer", "staging")
    with reader.connect() as connection:
        rows = connection.execute(text("SELECT * FROM prices ORDER BY symbol")).fetchall()
        assert [tuple(row) for row in rows] == [("AAPL", 1.5), ("MSFT", 2.5)], rows
        assert connection.execute(text("SELECT * FROM prices WHERE 0")).fetchall() == []
    seen = inspect(reader)
    assert seen.get_schema_names() == ["marts"] and "prices" in seen.get_table_names()
    assert [column["name"] for column in seen.get_columns("prices")] == ["symbol", "close"]
    tables = MetaData()
    made = Table(
        "alchemy", tables, Column("a", types.Int32, primary_key=True), Column("b", types.String),
        engines.MergeTree(order_by="a"),
    )  # fmt: skip
    tables.drop_all(writer)
    tables.create_all(writer)
    with writer.connect() as connection:
        connection.execute(made.insert(), [{"a": 1, "b": "it's ; "}, {"a": 2, "b": "x"}])
        assert connection.execute(select(made).order_by(made.c.a)).fetchall()[0][1] == "it's ; "
    print("clickhouse-sqlalchemy")


async def through_aiochclient() -> None:
    import aiohttp
    from aiochclient import ChClient

    async with aiohttp.ClientSession() as session:
        writer = ChClient(
            session, url=URL, user="writer", password=SECRETS["writer"], database="staging",
            compress_response=True,
        )  # fmt: skip
        assert await writer.is_alive()
        await writer.execute(
            "CREATE OR REPLACE TABLE aio (a UInt8, b DateTime, c Nullable(String)) "
            "ENGINE MergeTree ORDER BY a"
        )
        day = dt.datetime(2018, 9, 7)
        await writer.execute("INSERT INTO aio VALUES", (1, day, "it's"), (2, day, None))
        rows = await writer.fetch("SELECT * FROM aio ORDER BY a")
        assert [tuple(row.values()) for row in rows] == [(1, day, "it's"), (2, day, None)]
        assert await writer.fetch("SELECT a FROM aio WHERE 0") == []
        assert await writer.fetch("SHOW TABLES LIKE 'nothing%'") == []
    print("aiochclient")


async def through_mcp() -> None:
    from pathlib import Path

    from fastmcp import Client

    settings = {
        "CLICKHOUSE_HOST": "127.0.0.1", "CLICKHOUSE_PORT": str(PORT), "CLICKHOUSE_USER": "reader",
        "CLICKHOUSE_PASSWORD": SECRETS["reader"], "CLICKHOUSE_SECURE": "false",
    }  # fmt: skip
    command = str(Path(sys.executable).with_name("mcp-clickhouse"))
    server = {"command": command, "args": [], "env": {**settings, "HOME": os.environ["HOME"]}}
    async with Client({"mcpServers": {"clickhouse": server}}) as client:
        databases = await client.call_tool("list_databases", {})
        assert '["marts"]' in str(databases.content)
        tables = await client.call_tool("list_tables", {"database": "marts"})
        assert "prices" in str(tables.content)
        query = "SELECT symbol, close FROM marts.prices ORDER BY symbol"
        rows = await client.call_tool("run_query", {"query": query})
        assert '"rows": [["AAPL", 1.5], ["MSFT", 2.5]]' in str(rows.content), rows.content
        for refused in ("DROP TABLE marts.prices", "SELECT * FROM lake.quotes"):
            try:
                await client.call_tool("run_query", {"query": refused})
            except Exception as error:
                assert "code: 497" in str(error) or "code: 60" in str(error), error
            else:
                raise AssertionError(f"an agent ran {refused}")
    print("mcp-clickhouse")


if __name__ == "__main__":
    native_of_every_version()
    compressed_blocks()
    through_sqlalchemy()
    asyncio.run(through_aiochclient())
    asyncio.run(through_mcp())
