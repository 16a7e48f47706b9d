"""Copies the lake's commits into the warehouse, because dashboards read only the marts.

The engine's own list of snapshots is hidden from the account that builds the marts, and loses
expired snapshots.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pyiceberg.catalog import Catalog
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Operation

from catalog.connect import load_table
from catalog.merge import CORRECTED_ROWS, NEW_ROWS
from catalog.tables import TABLES

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

TABLE = "`{database}`.lake_snapshots"
COLUMNS = {
    "table_name": "LowCardinality(String)",
    "snapshot_id": "Int64",
    "committed_at": "DateTime64(3, 'UTC')",
    "operation": "LowCardinality(String)",
    "new_rows": "Nullable(Int64)",
    "corrected_rows": "Nullable(Int64)",
    "total_rows": "Nullable(Int64)",
    "total_files": "Nullable(Int64)",
    "total_bytes": "Nullable(Int64)",
    "seen_at": "DateTime64(6, 'UTC')",
}
SUMMARY = (NEW_ROWS, CORRECTED_ROWS, "total-records", "total-data-files", "total-files-size")
# Used for commits without our own counts that only added rows.
ADDED_ROWS = "added-records"


def record_lake_snapshots(client: "Client", catalog: Catalog, database: str) -> None:
    """Update the list of the lake's snapshots; expired ones stay in it.

    Args:
        client: May write to the database.
        catalog: The lake.
        database: Database that holds the table; it is created if missing.
    """
    table = TABLE.format(database=database)
    columns = ", ".join(f"{name} {type_}" for name, type_ in COLUMNS.items())
    client.command(
        f"CREATE TABLE IF NOT EXISTS {table} ({columns}) "
        "ENGINE = ReplacingMergeTree(seen_at) ORDER BY (table_name, snapshot_id) "
        "COMMENT 'Commits to the tables of the lake; fct_lake_snapshots reads it.'"
    )
    now = datetime.now(UTC)
    rows = [
        [definition.name, *snapshot, now]
        for definition in TABLES
        for snapshot in _snapshots(load_table(catalog, definition))
    ]
    if rows:
        client.insert(table, rows, column_names=list(COLUMNS))


def _snapshots(table: Table) -> Iterator[list[Any]]:
    for snapshot in table.snapshots():
        summary = snapshot.summary
        said = [summary.get(name) if summary else None for name in SUMMARY]
        if summary and said[0] is None and summary.operation is Operation.APPEND:
            said[0] = summary.get(ADDED_ROWS)
        yield [
            snapshot.snapshot_id,
            datetime.fromtimestamp(snapshot.timestamp_ms / 1000, UTC),
            summary.operation.value if summary else "",
            *(None if value is None else int(value) for value in said),
        ]
