"""Keeps the lake small: compaction, snapshot expiry, orphan file removal.

All of it is safe while writers run. Compaction is an ordinary commit that gives way when it loses
the race; expiry skips tagged snapshots; a file counts as an orphan only when no snapshot refers to
it and it is older than any load can take.
"""

from collections import defaultdict
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from pyarrow.fs import FileSelector, FileType, S3FileSystem
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.expressions import (
    AlwaysTrue,
    And,
    BooleanExpression,
    GreaterThanOrEqual,
    LessThan,
)
from pyiceberg.table import Table
from pyiceberg.transforms import MonthTransform

from catalog.connect import load_table
from catalog.merge import sorted_by_key
from catalog.settings import S3Settings
from catalog.tables import TableDefinition

EPOCH_YEAR = 1970
EXPIRE_ATTEMPTS = 10


@dataclass(frozen=True)
class TableSize:
    """Size of a table.

    Attributes:
        files: Data files of the current snapshot.
        bytes: Total size of those files.
        snapshots: Snapshots in the history.
        objects: All objects under the table's location, including metadata and orphans.
    """

    files: int
    bytes: int
    snapshots: int
    objects: int


@dataclass(frozen=True)
class MaintenanceReport:
    """What maintenance did to one table."""

    table: str
    before: TableSize
    after: TableSize
    compacted_partitions: int
    expired_snapshots: int
    orphans_deleted: int
    orphan_bytes: int
    skipped: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The report as ``--json`` prints it."""
        return asdict(self)


def maintain(
    catalog: Catalog,
    s3: S3Settings,
    definition: TableDefinition,
    *,
    keep: timedelta,
    orphan_age: timedelta,
    small_files: int,
) -> MaintenanceReport:
    """Compact one table, expire its old snapshots and delete its orphan files.

    Args:
        catalog: The catalog, opened for writing.
        s3: The object store.
        definition: The table.
        keep: Snapshots younger than this are kept.
        orphan_age: Unreferenced files are kept until they are older than this.
        small_files: Partitions with more data files than this are rewritten into one.

    Returns:
        Sizes before and after, and the number of objects each step removed.

    Raises:
        TableMissing: The table does not exist.
        CatalogUnavailable: The catalog does not answer.
    """
    store = _store(s3)
    before = _size(load_table(catalog, definition), store)
    compacted, skipped = _compact(catalog, definition, small_files)
    expired = _expire(catalog, definition, keep)
    orphans = _remove_orphans(catalog, definition, store, orphan_age)
    return MaintenanceReport(
        definition.name,
        before,
        _size(load_table(catalog, definition), store),
        compacted,
        expired,
        len(orphans),
        sum(orphans.values()),
        skipped,
    )


def _compact(catalog: Catalog, definition: TableDefinition, small_files: int) -> tuple[int, str]:
    """Rewrite each crowded partition into one file.

    Returns the number of partitions rewritten, and why the rest was skipped, if it was.
    """
    table = load_table(catalog, definition)
    partitions: dict[int | None, int] = defaultdict(int)
    for planned in table.scan().plan_files():
        partition = planned.file.partition
        partitions[partition[0] if len(partition) else None] += 1
    crowded = [value for value, files in partitions.items() if files > small_files]
    for done, value in enumerate(crowded):
        table = load_table(catalog, definition)
        rows_of = _partition_filter(definition, value)
        rows = table.scan(row_filter=rows_of).to_arrow()
        if definition.key:
            rows = sorted_by_key(rows, definition)
        try:
            table.overwrite(rows, overwrite_filter=rows_of)
        except CommitFailedException:
            # Another writer committed first. Do not hold it up: the next run will catch up.
            return done, "compaction gave way to a running load"
    return len(crowded), ""


def _partition_filter(definition: TableDefinition, value: int | None) -> BooleanExpression:
    """A filter that selects a partition, by the date column behind its year or month transform."""
    column = definition.date_column
    if value is None or column is None:
        return AlwaysTrue()
    if isinstance(definition.partition.fields[0].transform, MonthTransform):
        first, after = _month(value), _month(value + 1)
    else:
        first, after = date(EPOCH_YEAR + value, 1, 1), date(EPOCH_YEAR + value + 1, 1, 1)
    return And(GreaterThanOrEqual(column, first.isoformat()), LessThan(column, after.isoformat()))


def _month(number: int) -> date:
    return date(EPOCH_YEAR + number // 12, number % 12 + 1, 1)


def _expire(catalog: Catalog, definition: TableDefinition, keep: timedelta) -> int:
    """Expire old snapshots, except those with a branch or tag; returns how many."""
    limit = datetime.now(UTC) - keep
    for _ in range(EXPIRE_ATTEMPTS):
        table = load_table(catalog, definition)
        protected = {reference.snapshot_id for reference in table.metadata.refs.values()}
        old = [
            snapshot.snapshot_id
            for snapshot in table.snapshots()
            if snapshot.timestamp_ms < limit.timestamp() * 1000
            and snapshot.snapshot_id not in protected
        ]
        if not old:
            return 0
        try:
            table.maintenance.expire_snapshots().by_ids(old).commit()
        except CommitFailedException:
            continue
        return len(old)
    return 0


def _remove_orphans(
    catalog: Catalog, definition: TableDefinition, store: S3FileSystem, age: timedelta
) -> dict[str, int]:
    """Delete files that no snapshot refers to; returns their paths and sizes in bytes."""
    # List the store before reading the metadata, so that files committed in between are known.
    limit = datetime.now(UTC) - age
    location = load_table(catalog, definition).location()
    found = {
        path: size for path, (size, changed) in _objects(store, location).items() if changed < limit
    }
    needed = _referenced(load_table(catalog, definition))
    orphans = {path: size for path, size in found.items() if path not in needed}
    for path in orphans:
        store.delete_file(path)
    return orphans


def _referenced(table: Table) -> set[str]:
    """Every object that the table's metadata points to."""
    paths = {
        table.metadata_location,
        *(entry.metadata_file for entry in table.metadata.metadata_log),
    }
    for snapshot in table.snapshots():
        paths.add(snapshot.manifest_list)
        for manifest in snapshot.manifests(table.io):
            # Snapshots share most of their manifests.
            if manifest.manifest_path in paths:
                continue
            paths.add(manifest.manifest_path)
            entries = manifest.fetch_manifest_entry(table.io, discard_deleted=True)
            paths.update(entry.data_file.file_path for entry in entries)
    paths.update(statistics.statistics_path for statistics in table.metadata.statistics)
    return {_without_scheme(path) for path in paths}


def _objects(store: S3FileSystem, location: str) -> dict[str, tuple[int, datetime]]:
    selector = FileSelector(_without_scheme(location), recursive=True, allow_not_found=True)
    return {
        info.path: (info.size, info.mtime)
        for info in store.get_file_info(selector)
        if info.type == FileType.File
    }


def _size(table: Table, store: S3FileSystem) -> TableSize:
    files = [planned.file for planned in table.scan().plan_files()]
    return TableSize(
        files=len(files),
        bytes=sum(file.file_size_in_bytes for file in files),
        snapshots=len(table.snapshots()),
        objects=len(_objects(store, table.location())),
    )


def _store(s3: S3Settings) -> S3FileSystem:
    scheme, _, address = (s3.endpoint or "").partition("://")
    return S3FileSystem(
        access_key=s3.access_key,
        secret_key=s3.secret_key.get_secret_value(),
        endpoint_override=address,
        scheme=scheme,
        region=s3.region,
    )


def _without_scheme(path: str) -> str:
    return path.partition("://")[2] or path
