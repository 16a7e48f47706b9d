"""What a catalog that the engines cannot log in to needs: tables pinned by their metadata.

A Hive metastore has to run in a container of its own (tests/compose/test_hive.py). SeaweedFS's
catalog takes signed requests, too, and to sign them is what neither ClickHouse nor DuckDB can.
"""

from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from catalog import duckdb as lake_in_duckdb
from catalog.clickhouse import pinned_tables
from catalog.connect import open_catalog
from catalog.errors import CatalogUnavailable
from catalog.merge import merge
from catalog.settings import CatalogSettings
from catalog.tables import CALENDAR
from lakehouse.connections.clickhouse_client import attach_lake, connect
from lakehouse.platform import Platform
from lakehouse.settings import Settings

SOURCE = "pinned"


def add(platform: Platform, day: date) -> None:
    rows = pa.table(
        {
            "source": [SOURCE],
            "trade_date": [day],
            "is_open": [True],
            "ingested_at": [datetime.now(UTC)],
        }
    )
    assert merge(platform.lake, CALENDAR, rows, commit_id=day.isoformat()).new == 1


@pytest.fixture
def signed(stack: Platform) -> Settings:
    """The same lake, by a login that only the pipeline knows."""
    login = {"auth": "sigv4", "signing_name": "s3tables"}
    found = stack.settings.model_copy(
        update={"catalog": stack.settings.catalog.model_copy(update=login)}
    )
    assert not found.catalog.engines_can_log_in
    return found


def test_pinned_tables_show_one_snapshot_until_they_are_renewed(stack: Platform) -> None:
    def attach() -> None:
        opened = open_catalog(stack.settings.catalog, stack.settings.s3, read_only=True)
        for statement in pinned_tables(opened, stack.settings.s3, name="pinned"):
            client.command(statement)

    def rows() -> int:
        query = f"select count() from pinned.`raw.calendar` where source = '{SOURCE}'"
        return int(str(client.command(query)))

    with connect(stack.settings, role="admin") as client:
        add(stack, date(1999, 1, 1))
        attach()
        before = rows()
        add(stack, date(1999, 1, 2))
        assert rows() == before
        attach()
        assert rows() == before + 1
        client.command("drop database pinned")


def test_a_warehouse_follows_the_lake_to_another_kind_of_catalog(
    stack: Platform, signed: Settings
) -> None:
    def engine() -> str:
        with connect(stack.settings, role="admin") as client:
            query = "select engine from system.databases where name = 'lake'"
            return str(client.command(query))

    attach_lake(stack.settings)
    assert engine() == "DataLakeCatalog"
    attach_lake(signed)
    assert engine() == "Atomic"
    with connect(signed, role="writer") as client:
        assert client.query("select count() from lake.`raw.quotes`").result_rows
    attach_lake(stack.settings)
    assert engine() == "DataLakeCatalog"


def test_duckdb_shows_the_tables_of_such_a_catalog(
    stack: Platform, signed: Settings, tmp_path: Path
) -> None:
    add(stack, date(1999, 1, 3))
    with lake_in_duckdb.connect(signed.catalog, signed.s3, extension_dir=tmp_path) as connection:
        query = f"select max(trade_date) from raw.calendar where source = '{SOURCE}'"
        assert connection.execute(query).fetchall() == [(date(1999, 1, 3),)]
        assert connection.execute("select count(*) from ml.forecasts").fetchone() is not None


def test_a_metastore_that_does_not_answer_is_named(stack: Platform) -> None:
    catalog = CatalogSettings(type="hive", uri="thrift://127.0.0.1:9", warehouse="s3://lake")
    with pytest.raises(CatalogUnavailable, match=r"thrift://127\.0\.0\.1:9 cannot be used"):
        open_catalog(catalog, stack.settings.s3)
