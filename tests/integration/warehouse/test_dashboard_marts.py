"""The marts that only dashboards read."""

from catalog.connect import load_table
from catalog.tables import BY_NAME, REJECTS
from lakehouse.connections.clickhouse_client import connect
from lakehouse.platform import Platform
from lakehouse.warehouse.transform import transform


def rows(platform: Platform, query: str) -> list[tuple]:
    with connect(platform.settings, "reader") as client:
        return [tuple(row) for row in client.query(query).result_rows]


def test_rejects_are_those_of_the_lake(pipeline: Platform) -> None:
    lake = load_table(pipeline.lake, REJECTS).scan().to_arrow()
    expected = {(row["symbol"], row["rule"], row["reason"]) for row in lake.to_pylist()}
    assert expected
    assert set(rows(pipeline, "select symbol, rule, reason from marts.fct_rejects")) == expected
    # The sample's one remark is about a bar that was kept.
    assert rows(pipeline, "select symbol, is_kept from marts.fct_rejects") == [("AAPL", True)]


def test_snapshots_are_those_of_the_catalog_and_say_what_was_new(pipeline: Platform) -> None:
    catalog = pipeline.lake
    transform(pipeline)
    shown = rows(pipeline, "select table_name, snapshot_id from marts.fct_lake_snapshots")
    expected = {
        (name, snapshot.snapshot_id)
        for name, definition in BY_NAME.items()
        for snapshot in load_table(catalog, definition).snapshots()
    }
    assert expected <= set(shown)
    assert len(shown) == len(set(shown))
    first = rows(
        pipeline,
        "select new_rows, corrected_rows, total_rows, is_kept from marts.fct_lake_snapshots "
        "where table_name = 'raw.quotes' order by committed_at limit 1",
    )
    assert first == [(12154, 0, 12154, True)]
    current = rows(
        pipeline,
        "select table_name, count() from marts.fct_lake_snapshots where is_current group by 1",
    )
    assert all(count == 1 for _, count in current)
