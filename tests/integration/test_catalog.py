"""Merging into a real Iceberg catalog."""

import datetime as dt
import threading
import uuid

import pyarrow as pa
import pytest
from pyiceberg.catalog import Catalog

from catalog.append import append_rows
from catalog.connect import ensure_tables, open_catalog
from catalog.errors import SchemaMismatch
from catalog.merge import MergeReport, append, conform, merge, sorted_by_key
from catalog.snapshots import tag_snapshot, tags
from catalog.tables import FORECASTS, REJECTS, TableDefinition
from lakehouse.platform import Platform

START = dt.date(2019, 12, 20)


def bars(days: int, *, symbol: str = "AAA", close: float = 10.0, first: int = 0) -> pa.Table:
    dates = [START + dt.timedelta(days=first + number) for number in range(days)]
    return pa.table(
        {
            "source": ["test"] * days,
            "symbol": [symbol] * days,
            "trade_date": dates,
            "close": [close + number for number in range(days)],
            "ingested_at": [dt.datetime.now(dt.UTC)] * days,
        }
    )


def read(catalog: Catalog, table: TableDefinition) -> list[tuple[str, dt.date, float]]:
    rows = (
        catalog.load_table(table.name)
        .scan()
        .to_arrow()
        .sort_by([("symbol", "ascending"), ("trade_date", "ascending")])
    )
    columns = (rows[name].to_pylist() for name in ("symbol", "trade_date", "close"))
    return list(zip(*columns, strict=True))


def counts(report: MergeReport) -> tuple[int, int, int, bool]:
    return report.new, report.corrected, report.unchanged, report.committed


def test_the_same_rows_again_commit_nothing(catalog: Catalog, quotes: TableDefinition) -> None:
    assert counts(merge(catalog, quotes, bars(30), commit_id="a")) == (30, 0, 0, True)
    before = catalog.load_table(quotes.name).metadata
    assert counts(merge(catalog, quotes, bars(30), commit_id="b")) == (0, 0, 30, False)
    after = catalog.load_table(quotes.name).metadata
    assert after.current_snapshot_id == before.current_snapshot_id
    assert len(after.snapshots) == 1


def test_a_correction_replaces_its_row_only_and_the_old_one_stays_in_history(
    catalog: Catalog, quotes: TableDefinition
) -> None:
    first = merge(
        catalog, quotes, pa.concat_tables([bars(30), bars(30, symbol="BBB")]), commit_id="a"
    )
    fixed = bars(1, close=99.0, first=5)
    extra = bars(2, close=7.0, first=40)
    report = merge(catalog, quotes, pa.concat_tables([fixed, extra]), commit_id="b")
    assert counts(report) == (2, 1, 0, True)
    now = {(symbol, day): close for symbol, day, close in read(catalog, quotes)}
    assert len(now) == 62
    assert now["AAA", START + dt.timedelta(days=5)] == 99.0
    assert now["BBB", START + dt.timedelta(days=5)] == 15.0
    old = catalog.load_table(quotes.name).scan(snapshot_id=first.snapshot_id).to_arrow()
    assert old.num_rows == 60
    assert 99.0 not in old["close"].to_pylist()


def test_null_and_nan_that_stay_are_not_corrections(
    catalog: Catalog, quotes: TableDefinition
) -> None:
    rows = bars(3).set_column(3, "close", pa.array([None, float("nan"), 1.0], pa.float64()))
    assert counts(merge(catalog, quotes, rows, commit_id="a"))[0] == 3
    assert counts(merge(catalog, quotes, rows, commit_id="b")) == (0, 0, 3, False)
    filled = rows.set_column(3, "close", pa.array([1.0, 2.0, None], pa.float64()))
    assert counts(merge(catalog, quotes, filled, commit_id="c")) == (0, 3, 0, True)


@pytest.mark.parametrize("writers", [6])
def test_writers_at_the_same_time_lose_nothing_and_double_nothing(
    catalog: Catalog, quotes: TableDefinition, writers: int
) -> None:
    """Every writer brings the same shared rows, rows of its own, and one shared correction."""
    merge(catalog, quotes, bars(5, symbol="SHARED"), commit_id="base")
    failures: list[BaseException] = []

    def write(number: int) -> None:
        try:
            for part in range(3):
                own = bars(4, symbol=f"W{number}", first=part * 4)
                shared = bars(10, symbol="SHARED", close=20.0)
                merge(
                    catalog, quotes, pa.concat_tables([own, shared]), commit_id=f"{number}-{part}"
                )
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    rows = read(catalog, quotes)
    assert len(rows) == len({row[:2] for row in rows}) == writers * 12 + 10
    assert [close for symbol, _, close in rows if symbol == "SHARED"] == [
        20.0 + n for n in range(10)
    ]


def test_duplicate_keys_unknown_columns_and_null_keys_are_refused(
    catalog: Catalog, quotes: TableDefinition
) -> None:
    with pytest.raises(ValueError, match=r"2 keys come twice.*AAA"):
        merge(catalog, quotes, pa.concat_tables([bars(2), bars(2, close=5.0)]), commit_id="a")
    with pytest.raises(SchemaMismatch, match="no column colour"):
        merge(catalog, quotes, bars(1).append_column("colour", pa.array(["red"])), commit_id="a")
    nameless = bars(1).set_column(1, "symbol", pa.array([None], pa.string()))
    with pytest.raises(SchemaMismatch, match=r"symbol is part of the key"):
        merge(catalog, quotes, nameless, commit_id="a")
    assert catalog.load_table(quotes.name).current_snapshot() is None


def test_a_table_of_an_earlier_version_gets_its_new_columns(catalog: Catalog) -> None:
    key = {"source": "s", "symbol": "OLD", "as_of_date": dt.date(2024, 1, 2), "horizon": 1}
    key |= {"model_name": "m", "model_version": "1"}
    row = pa.Table.from_pylist([key | {"point": 7.0}])
    merge(catalog, FORECASTS, row, commit_id="old")
    with catalog.load_table(FORECASTS.name).update_schema(
        allow_incompatible_changes=True
    ) as update:
        update.delete_column("drift_point")
    for _ in range(2):
        ensure_tables(catalog)
    table = catalog.load_table(FORECASTS.name)
    # Engines read a snapshot by its own schema.
    assert table.current_snapshot().schema_id == table.schema().schema_id
    assert merge(catalog, FORECASTS, row, commit_id="again").unchanged == 1
    (found,) = table.scan("symbol = 'OLD'").to_arrow().to_pylist()
    assert (found["point"], found["drift_point"]) == (7.0, None)
    table.delete("symbol = 'OLD'")


def test_an_append_is_done_once_per_commit_id(catalog: Catalog) -> None:
    rows = pa.table({"source": ["test"], "rule": ["positive_price"], "load_id": ["x"]})
    commit_id = uuid.uuid4().hex
    first = append(catalog, REJECTS, rows, commit_id=commit_id)
    again = append(catalog, REJECTS, rows, commit_id=commit_id)
    assert (first.new, first.committed) == (1, True)
    assert (again.new, again.committed) == (0, False)
    assert again.snapshot_id == first.snapshot_id


def test_new_rows_are_written_as_pyiceberg_writes_them(
    catalog: Catalog, quotes: TableDefinition
) -> None:
    """Partition, statistics and rows of every file; only how full the files are may differ."""
    rows = sorted_by_key(
        conform(pa.concat_tables([bars(400), bars(30, symbol="BBB")]), quotes), quotes
    )
    table = catalog.load_table(quotes.name)
    table.append(rows)
    theirs = table.inspect.files()
    table.delete()
    append_rows(table, rows, {"weekahead.commit-id": "a"})
    ours = table.inspect.files()
    assert ours.num_rows == 3, "one file for each year"
    for name in set(ours.column_names) - {"file_path"}:
        assert sorted(map(str, ours[name].to_pylist())) == sorted(
            map(str, theirs[name].to_pylist())
        )
    snapshot = table.current_snapshot()
    assert snapshot is not None and snapshot.summary is not None
    assert snapshot.summary["weekahead.commit-id"] == "a"
    assert snapshot.summary["added-records"] == "430"
    assert sorted_by_key(table.scan().to_arrow().cast(rows.schema), quotes) == rows


def test_files_of_a_partition_are_filled_alike(catalog: Catalog, quotes: TableDefinition) -> None:
    rows = conform(bars(350, first=20), quotes)
    table = catalog.load_table(quotes.name)
    with table.transaction() as change:
        change.set_properties({"write.target-file-size-bytes": str(int(rows.nbytes / 2.5))})
    append_rows(table, rows, {})
    assert sorted(table.inspect.files()["record_count"].to_pylist()) == [116, 117, 117]
    assert table.scan().to_arrow().num_rows == 350


def test_a_tag_is_set_once_and_never_moved(catalog: Catalog, quotes: TableDefinition) -> None:
    first = merge(catalog, quotes, bars(2), commit_id="a").snapshot_id
    second = merge(catalog, quotes, bars(4), commit_id="b").snapshot_id
    assert first is not None and second is not None
    tag_snapshot(catalog, quotes, first, "model-1")
    tag_snapshot(catalog, quotes, first, "model-1")
    with pytest.raises(ValueError, match="belongs to snapshot"):
        tag_snapshot(catalog, quotes, second, "model-1")
    assert tags(catalog.load_table(quotes.name)) == {"model-1": first}


def test_readers_cannot_write(lake: Platform, catalog: Catalog, quotes: TableDefinition) -> None:
    merge(catalog, quotes, bars(3), commit_id="a")
    reader = open_catalog(lake.settings.catalog, lake.settings.s3, read_only=True)
    table = reader.load_table(quotes.name)
    assert table.scan().to_arrow().num_rows == 3
    with pytest.raises(OSError, match=r"(?i)access.?denied"):
        table.append(table.scan().to_arrow())
    with pytest.raises(Exception, match=r"(?i)forbidden|denied"):
        reader.create_namespace("mine")
