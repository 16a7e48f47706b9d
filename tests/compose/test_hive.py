"""The pipeline over a Hive metastore in a container."""

from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest

from tests.compose.sample import bars
from tests.compose.stack import Stack, new_stack, removed_at_the_end

FIRST, LAST = date(2012, 9, 28), date(2013, 3, 1)
WRITERS, COMMITS = 4, 25
# Each writer merges rows of its own into one table, a commit for each row.
WRITER = """
import sys
from datetime import date, timedelta
import pyarrow as pa
from catalog.connect import open_catalog
from catalog.merge import merge
from catalog.tables import CALENDAR
from lakehouse.settings import load_settings
settings = load_settings()
catalog = open_catalog(settings.catalog, settings.s3)
for number in range({commits}):
    day = date(2000, 1, 1) + timedelta(days=number)
    rows = pa.table({{"source": [sys.argv[1]], "trade_date": [day], "is_open": [True]}})
    report = merge(catalog, CALENDAR, rows, commit_id=f"{{sys.argv[1]}}-{{number}}")
    assert report.new == 1 and report.committed
"""
# It dies while it holds the lock of the table.
KILLED = """
import os
from catalog.connect import open_catalog
from lakehouse.settings import load_settings
settings = load_settings()
catalog = open_catalog(settings.catalog, settings.s3)
with catalog._client as client:
    print(client.lock(catalog._create_lock_request("raw", "calendar")).state)
    os._exit(9)
"""


def count(stack: Stack, query: str, engine: str) -> Any:
    (row,) = stack.sql(f"select count(*) as n from {query}", engine=engine)
    return row["n"]


@pytest.fixture(scope="module")
def hive() -> Iterator[Stack]:
    stack = new_stack("weekahead-test-hive", "deploy/compose/hive.yml")
    with removed_at_the_end(stack):
        stack.up()
        yield stack


def test_the_whole_pipeline_runs_and_every_engine_sees_it(hive: Stack) -> None:
    shown = hive.pipeline("weekahead", "run", "--end", FIRST.isoformat())
    assert "25 of 25 forecasts are new in the ledger" in shown
    assert count(hive, "raw.quotes", "duckdb") == bars(FIRST)
    assert count(hive, "marts.fct_quotes", "clickhouse") == bars(FIRST)
    assert count(hive, "ml.forecasts", "duckdb") == 25
    assert count(hive, "marts.fct_forecasts", "clickhouse") == 25
    # The catalog is Hive's, and SeaweedFS's own is not there.
    script = "from lakehouse.settings import load_settings as s; print(s().catalog.uri)"
    assert hive.pipeline("python3", "-c", script).strip() == "thrift://metastore:9083"
    closed = "import socket; print(socket.socket().connect_ex(('seaweedfs', 8181)))"
    assert hive.pipeline("python3", "-c", closed).strip() != "0"


def test_clickhouse_sees_the_newest_snapshot_after_a_second_ingest(hive: Stack) -> None:
    hive.pipeline("weekahead", "ingest", "--end", LAST.isoformat())
    assert count(hive, "raw.quotes", "duckdb") == bars(LAST)
    # Attached before each build, so what was attached is still the lake of the first run.
    hive.pipeline("weekahead", "transform")
    assert count(hive, "marts.fct_quotes", "clickhouse") == bars(LAST)


def test_concurrent_commits_lose_nothing_and_double_nothing(hive: Stack) -> None:
    script = WRITER.format(commits=COMMITS)
    starts = "; ".join(f"python3 -c '{script}' w{each} & p{each}=$!" for each in range(WRITERS))
    starts = starts.replace("&;", "&")
    waits = " && ".join(f"wait $p{each}" for each in range(WRITERS))
    hive.pipeline("sh", "-c", f"{starts}\n{waits}")
    rows = hive.sql(
        "select source, count(*) as n, count(distinct trade_date) as days from raw.calendar "
        "where source like 'w_' group by source order by source"
    )
    expected = [{"source": f"w{e}", "n": COMMITS, "days": COMMITS} for e in range(WRITERS)]
    assert rows == expected


def test_the_lock_of_a_killed_writer_does_not_stay(hive: Stack) -> None:
    killed = hive.try_pipeline("python3", "-c", KILLED)
    assert killed.returncode == 9, killed.stderr
    hive.pipeline("python3", "-c", WRITER.format(commits=1), "later")
    assert count(hive, "raw.calendar where source = 'later'", "duckdb") == 1


def test_the_metastore_keeps_everything_over_a_restart(hive: Stack) -> None:
    before = hive.sql("select * from raw.quotes order by all limit 3")
    hive.compose("up", "--detach", "--no-build", "--wait", "--force-recreate", "metastore")
    assert hive.sql("select * from raw.quotes order by all limit 3") == before
    hive.pipeline("weekahead", "maintain")
    assert count(hive, "raw.quotes", "duckdb") == bars(LAST)
