"""The clients that people use: clickhouse-connect (sync and async) and the SQLAlchemy dialect."""

import asyncio
import datetime as dt
import decimal
import subprocess
import sys
import textwrap
import uuid
from pathlib import Path
from typing import Any

import clickhouse_connect
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError
from clickhouse_connect.driver.external import ExternalData

from tests.integration.chserver.conftest import own_python

COLUMNS = {
    "id": "UInt32",
    "d": "Date",
    "ts": "DateTime64(6, 'UTC')",
    "s": "String",
    "lc": "LowCardinality(String)",
    "n": "Nullable(Float64)",
    "arr": "Array(Int32)",
    "m": "Map(String, Int64)",
    "u": "UUID",
    "dec": "Decimal(18, 4)",
    "tup": "Tuple(`a` Int32, `b` String)",
    "e": "Enum8('a' = 1, 'b' = 2)",
    "b": "Bool",
}


def row(i: int) -> list[Any]:
    return [
        i,
        dt.date(2024, 1, 1) + dt.timedelta(days=i),
        dt.datetime(2024, 1, 1, 12, 0, 0, 123456),
        f"s{i}é\n\t'",
        "lc",
        None if i % 2 else 1.5 * i,
        [1, -2, i],
        {"k": i},
        uuid.UUID(int=i),
        decimal.Decimal("1.2345"),
        (i, "x"),
        "a",
        bool(i % 2),
    ]


@pytest.fixture
def client(server: Any) -> Any:
    with server.client("writer", database="staging") as connected:
        yield connected


def frame(rows: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "a": np.arange(rows),
            "b": np.arange(rows) / 7,
            "c": pd.array([f"x{i % 10}" for i in range(rows)], dtype="string"),
            "t": pd.date_range("2024-01-01", periods=rows, freq="s"),
        }
    )


@pytest.fixture
def df_table(client: Any) -> str:
    client.command(
        "CREATE OR REPLACE TABLE df (a Int64, b Float64, c LowCardinality(String), t DateTime) "
        "ENGINE MergeTree ORDER BY a"
    )
    return "df"


def test_handshake(client: Any) -> None:
    assert client.ping()
    assert client.server_version.startswith("26.")
    assert len(client.server_settings) > 1000
    assert client.command("SELECT 1") == 1
    assert client.command("SELECT 1, 'x'") == ["1", "x"]


def test_every_type_makes_the_round_trip(client: Any) -> None:
    columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
    client.command(f"CREATE OR REPLACE TABLE types ({columns}) ENGINE MergeTree ORDER BY id")
    rows = [row(i) for i in range(5)]
    assert client.insert("types", rows, column_names=list(COLUMNS)).written_rows == 5
    result = client.query("SELECT * FROM types ORDER BY id")
    assert [kind.name for kind in result.column_types] == list(COLUMNS.values())
    assert [tuple(r) for r in rows] == [
        tuple(tuple(v.values()) if k == 10 and isinstance(v, dict) else v for k, v in enumerate(r))
        for r in result.result_rows
    ]
    nothing = client.query("SELECT * FROM types WHERE id = 999")
    assert nothing.result_rows == [] and client.query("SELECT * FROM types LIMIT 0").row_count == 0


def test_frames_and_arrow_in_and_out(client: Any, df_table: str) -> None:
    sent = frame(100_000)
    assert client.insert_df(df_table, sent).written_rows == 100_000
    received = client.query_df("SELECT * FROM df ORDER BY a")
    assert (received["a"].to_numpy() == sent["a"].to_numpy()).all()
    assert (received["b"].to_numpy() == sent["b"].to_numpy()).all()
    assert received["c"].tolist() == sent["c"].tolist()
    assert received["t"].tolist() == sent["t"].tolist()
    client.command("TRUNCATE TABLE df")
    table = pa.Table.from_pandas(sent, preserve_index=False)
    assert client.insert_arrow(df_table, table).written_rows == 100_000
    arrow = client.query_arrow("SELECT a, b FROM df ORDER BY a")
    assert arrow["a"].to_pylist() == list(range(100_000))
    with client.query_arrow_stream("SELECT a, c, b FROM df ORDER BY a") as stream:
        batches = list(stream)
    assert sum(batch.num_rows for batch in batches) == 100_000 and len(batches) > 1
    assert client.query_np("SELECT a FROM df ORDER BY a LIMIT 3").ravel().tolist() == [0, 1, 2]


@pytest.mark.parametrize("method", [False, "lz4", "zstd", "gzip", True])
def test_compression(server: Any, df_table: str, method: Any) -> None:
    with server.client("writer", database="staging", compress=method) as client:
        sent = frame(20_000)
        assert client.insert_df(df_table, sent).written_rows == 20_000
        assert client.query("SELECT a FROM df ORDER BY a").result_columns[0] == sent["a"].tolist()


def test_raw_interfaces(client: Any, df_table: str) -> None:
    import gzip

    names = ["a", "b", "c", "t"]
    line = b"1,2.5,q,2024-01-01 00:00:00\n"
    assert client.raw_insert(df_table, names, line * 3, fmt="CSV").written_rows == 3
    packed = gzip.compress(line * 2)
    assert (
        client.raw_insert(df_table, names, packed, fmt="CSV", compression="gzip").written_rows == 2
    )
    assert client.raw_query("SELECT 1 AS x", fmt="JSONEachRow") == b'{"x":1}\n'
    assert client.raw_stream("SELECT * FROM df", fmt="CSV").read().count(b"\n") == 5


def test_parameters(client: Any) -> None:
    values = {
        "x": 41,
        "s": "it's\n\\tab\t\"",
        "a": ["q'1", "b"],
        "d": dt.datetime(2024, 5, 6, 7, 8),
    }
    result = client.query(
        "SELECT {x:Int32}, {s:String}, {a:Array(String)}, {d:DateTime}", parameters=values
    )
    assert result.result_rows == [(41, values["s"], values["a"], values["d"])]
    assert client.query("SELECT %(s)s", parameters={"s": "o'k"}).result_rows == [("o'k",)]
    long = client.query("SELECT length({s:String})", parameters={"s": "x" * 300_000})
    assert long.result_rows == [(300_000,)]


def test_parameters_as_a_form(server: Any) -> None:
    with server.client("reader", form_encode_query_params=True) as client:
        assert client.query("SELECT {x:Int32} + 1", parameters={"x": 41}).result_rows == [(42,)]


def test_sessions_and_settings(client: Any) -> None:
    get = "SELECT getSetting('max_block_size')"
    assert client.query(get, settings={"max_block_size": 1000}).result_rows == [(1000,)]
    assert client.query(get).result_rows != [(1000,)]
    client.command("SET max_block_size = 777")
    assert client.query(get).result_rows == [(777,)]
    assert client.query(get, settings={"max_block_size": 5}).result_rows == [(5,)]
    assert client.query(get).result_rows == [(777,)]
    client.command("CREATE TEMPORARY TABLE tt (x Int32)")
    client.insert("tt", [[1], [2]], column_names=["x"])
    assert client.query("SELECT sum(x) FROM tt").result_rows == [(3,)]


def test_streams_and_external_data(client: Any) -> None:
    with client.query_row_block_stream("SELECT number FROM numbers(1000000)") as stream:
        assert sum(len(block) for block in stream) == 1_000_000
    table = ExternalData(
        file_name="ext", data=b"1\t2\n3\t4\n", fmt="TSV", structure="x Int32, y Int32"
    )
    assert client.query("SELECT sum(x) FROM ext", external_data=table).result_rows == [(4,)]


def test_errors_carry_clickhouses_codes(client: Any, df_table: str) -> None:
    cases = {
        60: lambda: client.query("SELECT * FROM staging.nope"),
        62: lambda: client.command("SELEC 1"),
        395: lambda: client.query(
            "SELECT throwIf(number = 2000000) FROM numbers(3000000)", settings={"max_threads": 1}
        ),
        115: lambda: client.query("SELECT 1", settings={"nope": 1}),
        27: lambda: client.raw_insert(df_table, ["a", "b", "c", "t"], "zzz,2.5\n", fmt="CSV"),
        497: lambda: client.command("DROP DATABASE lake"),
    }
    for code, call in cases.items():
        with pytest.raises(DatabaseError, match=f"[Cc]ode: {code}"):
            call()
    assert client.query("SELECT 1").result_rows == [(1,)]
    assert client.query("SELECT count() FROM df").result_rows == [(0,)]


def test_wrong_password(server: Any) -> None:
    with pytest.raises((DatabaseError, OperationalError), match="516"):
        clickhouse_connect.get_client(
            host="127.0.0.1", port=server.port, username="writer", password="no"
        )


def test_async_client(server: Any) -> None:
    async def run() -> list[int]:
        client = await clickhouse_connect.get_async_client(
            host="127.0.0.1",
            port=server.port,
            username="reader",
            password=server.passwords["reader"],
            autogenerate_session_id=False,
        )
        results = await asyncio.gather(
            *(client.query("SELECT {n:Int32}, sleep(0.05)", parameters={"n": n}) for n in range(8))
        )
        await client.close()
        return [result.result_rows[0][0] for result in results]

    assert asyncio.run(run()) == list(range(8))


# The same checks for the dialect under SQLAlchemy 2 (here) and 1.4 (where Superset is).
DIALECT_CHECKS = textwrap.dedent(
    """
    import sys
    from sqlalchemy import create_engine, inspect, text, MetaData, Table, select, func
    import sqlalchemy

    url, wanted = sys.argv[1], sys.argv[2]
    assert sqlalchemy.__version__.startswith(wanted), sqlalchemy.__version__
    engine = create_engine(url)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1
        rows = connection.execute(text("SELECT symbol, close FROM prices ORDER BY 1")).fetchall()
        assert [tuple(row) for row in rows] == [("AAPL", 1.5), ("MSFT", 2.5)], rows
        bound = text("SELECT close FROM prices WHERE symbol = :s")
        assert connection.execute(bound, {"s": "MSFT"}).scalar() == 2.5
    seen = inspect(engine)
    assert "marts" in seen.get_schema_names() and "lake" not in seen.get_schema_names()
    assert "prices" in seen.get_table_names("marts")
    assert [c["name"] for c in seen.get_columns("prices", "marts")] == ["symbol", "close"]
    assert seen.has_table("prices", "marts") and not seen.has_table("nothing", "marts")
    table = Table("prices", MetaData(), schema="marts", autoload_with=engine)
    with engine.connect() as connection:
        total = select(func.sum(table.c.close)).where(table.c.close > 0)
        assert connection.execute(total).scalar() == 4.0
        try:
            connection.execute(text("SELECT * FROM lake.quotes"))
        except Exception as error:
            assert "497" in str(error)
        else:
            raise AssertionError("the lake was readable")
    print("all checks passed")
    """
)


def check_dialect(server: Any, python: str | Path, version: str) -> None:
    url = f"clickhousedb://reader:{server.passwords['reader']}@127.0.0.1:{server.port}/marts"
    done = subprocess.run(
        [str(python), "-c", DIALECT_CHECKS, url, version],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout == "all checks passed\n", done.stderr


def test_sqlalchemy_2(server: Any) -> None:
    check_dialect(server, sys.executable, "2.")


def test_sqlalchemy_1_4(server: Any, request: pytest.FixtureRequest) -> None:
    python = own_python(request, "sqlalchemy-1.4", "sqlalchemy<2", "clickhouse-connect>=1.12,<2")
    check_dialect(server, python, "1.4")
