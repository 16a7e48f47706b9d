"""Writes to the lake: merge by key, and idempotent append.

Every write is a compare-and-swap. It reads the table at a snapshot, decides, and commits on
condition that the table is still at that snapshot; if another writer was faster, it reads and
decides again. So two writers with the same rows leave one copy, and a replay after a crash is a
no-op. ``Table.upsert`` is not used because its running time is quadratic in the rows.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from random import uniform
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import CommitFailedException, CommitStateUnknownException
from pyiceberg.expressions import (
    AlwaysTrue,
    And,
    BooleanExpression,
    GreaterThanOrEqual,
    LessThanOrEqual,
)
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.table import Table
from thrift.Thrift import TException

from catalog.append import append_rows
from catalog.connect import load_table
from catalog.errors import CommitConflict, SchemaMismatch
from catalog.tables import TableDefinition

COMMIT_ID = "weekahead.commit-id"
WRITE_ID = "weekahead.write-id"
# Iceberg's own counters include every row of a rewritten file; these count only real changes.
NEW_ROWS = "weekahead.new-rows"
CORRECTED_ROWS = "weekahead.corrected-rows"
ATTEMPTS = 40
MAX_PAUSE_SECONDS = 1.5

Write = Callable[[dict[str, str]], None]


@dataclass(frozen=True)
class MergeReport:
    """What a write did.

    Attributes:
        new: Rows whose key was not in the table.
        corrected: Rows whose key was in the table with other values.
        unchanged: Rows that were already there with the same values.
        snapshot_id: The table's current snapshot afterwards; None while the table is empty.
        committed: Whether a snapshot was added.
        new_keys: The key columns of the new rows; None for an append.
        corrected_keys: The key columns of the corrected rows; None for an append.
    """

    new: int
    corrected: int
    unchanged: int
    snapshot_id: int | None
    committed: bool
    new_keys: pa.Table | None = field(default=None, repr=False, compare=False)
    corrected_keys: pa.Table | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class _Plan:
    new: int = 0
    corrected: int = 0
    unchanged: int = 0
    write: Write | None = None
    new_keys: pa.Table | None = None
    corrected_keys: pa.Table | None = None

    def report(self, table: Table, *, committed: bool) -> MergeReport:
        return MergeReport(
            self.new,
            self.corrected,
            self.unchanged,
            current_snapshot(table),
            committed,
            self.new_keys,
            self.corrected_keys,
        )


def merge(
    catalog: Catalog,
    definition: TableDefinition,
    rows: pa.Table,
    *,
    commit_id: str,
    replace: bool = True,
) -> MergeReport:
    """Merge rows into a table by key: add new keys, replace changed rows.

    Reads only the span between the smallest and the largest value of each key column. If nothing
    differs, nothing is committed.

    Args:
        catalog: The catalog.
        definition: A table with a key.
        rows: At most one row per key; missing optional columns become null.
        commit_id: Id of the load; stored in the snapshot's summary.
        replace: If False, rows whose key already exists are left as they are.

    Returns:
        Counts and keys of the new, corrected and unchanged rows.

    Raises:
        ValueError: A key occurs twice in the rows, or the table has no key.
        SchemaMismatch: A column is unknown, or its values do not fit the schema.
        TableMissing: The table does not exist.
        CatalogUnavailable: The catalog does not answer.
        CommitConflict: Other writers won every attempt; nothing was written.
    """
    if not definition.key:
        raise ValueError(f"{definition.name} has no key: append to it.")
    rows = _in_key_order(conform(rows, definition), definition)

    def plan(table: Table) -> _Plan:
        return _plan(table, definition, rows, replace=replace)

    return _commit(catalog, definition, plan, commit_id)


def append(
    catalog: Catalog, definition: TableDefinition, rows: pa.Table, *, commit_id: str
) -> MergeReport:
    """Append rows, unless the table's history already contains a snapshot with this commit id.

    Args:
        catalog: The catalog.
        definition: The table, with or without a key; the key is not checked.
        rows: Missing optional columns become null.
        commit_id: Id of the load; makes a repeated append a no-op until the snapshot expires.

    Returns:
        All rows as new, or all as unchanged if the load was already there.

    Raises:
        SchemaMismatch: A column is unknown, or its values do not fit the schema.
        TableMissing: The table does not exist.
        CatalogUnavailable: The catalog does not answer.
        CommitConflict: Other writers won every attempt; nothing was written.
    """
    rows = conform(rows, definition)

    def plan(table: Table) -> _Plan:
        if not rows.num_rows or _has_snapshot(table, COMMIT_ID, commit_id):
            return _Plan(unchanged=rows.num_rows)
        return _Plan(
            new=rows.num_rows,
            write=lambda summary: append_rows(table, rows, summary),
        )

    return _commit(catalog, definition, plan, commit_id)


def conform(rows: pa.Table, definition: TableDefinition) -> pa.Table:
    """Order and cast columns to the table's schema; missing optional columns become null.

    Args:
        rows: Any subset of the table's columns, in any order.
        definition: The table.

    Returns:
        The same rows in the same order, with every column of the schema.

    Raises:
        SchemaMismatch: A column is unknown, a key column is missing or holds nulls, or a value
            does not fit the column's type.
    """
    target = schema_to_pyarrow(definition.schema, include_field_ids=False)
    if unknown := sorted(set(rows.column_names) - set(target.names)):
        raise SchemaMismatch(f"{definition.name} has no column {', '.join(unknown)}.")
    return pa.table([_conform_column(rows, column, definition) for column in target], schema=target)


def _conform_column(
    rows: pa.Table, column: pa.Field, definition: TableDefinition
) -> pa.ChunkedArray:
    if column.name in rows.column_names:
        values = rows.column(column.name)
    else:
        values = pa.chunked_array([pa.nulls(rows.num_rows, column.type)])
    if not column.nullable and values.null_count:
        raise SchemaMismatch(
            f"{definition.name}.{column.name} is part of the key and must not be null "
            f"({values.null_count} of {rows.num_rows} rows are)."
        )
    try:
        return values.cast(column.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise SchemaMismatch(f"{definition.name}.{column.name}: {error}.") from error


def current_snapshot(table: Table) -> int | None:
    """The id of the table's current snapshot, or None while it is empty."""
    snapshot = table.current_snapshot()
    return snapshot.snapshot_id if snapshot else None


def _plan(table: Table, definition: TableDefinition, rows: pa.Table, *, replace: bool) -> _Plan:
    """Decide what to add and what to rewrite, given the table's current state.

    The rows must be sorted by key, so that new ones can be written as they are.
    """
    key = list(definition.key)
    if not rows.num_rows:
        return _Plan(new_keys=rows.select(key), corrected_keys=rows.select(key))
    current = table.scan(row_filter=_span(rows, definition)).to_arrow()
    fresh, changed = _compare(rows, current, definition)
    if not replace:
        changed = changed.slice(0, 0)

    def write(summary: dict[str, str]) -> None:
        if not changed.num_rows:
            append_rows(table, fresh, summary)
            return
        table.overwrite(
            sorted_by_key(_rewritten(current, fresh, changed, definition), definition),
            overwrite_filter=_span(changed, definition),
            snapshot_properties=summary,
        )

    unchanged = rows.num_rows - fresh.num_rows - changed.num_rows
    return _Plan(
        fresh.num_rows,
        changed.num_rows,
        unchanged,
        write if unchanged < rows.num_rows else None,
        fresh.select(key),
        changed.select(key),
    )


def _compare(
    rows: pa.Table, current: pa.Table, definition: TableDefinition
) -> tuple[pa.Table, pa.Table]:
    """Return the rows with a new key, and those with a known key but other values."""
    if not current.num_rows:
        return rows, rows.slice(0, 0)
    key = list(definition.key)
    values = [name for name in rows.column_names if name not in key + list(definition.audit)]
    joined = (
        _numbered(rows, key, "_row")
        .join(_numbered(current, key, "_here"), keys=key, join_type="left outer")
        .sort_by("_row")
    )
    here = joined.column("_here")
    fresh = rows.filter(pc.is_null(here))
    incoming = rows.filter(pc.is_valid(here))
    known = current.take(here.drop_null())
    different = pa.chunked_array([pa.repeat(False, incoming.num_rows)])
    for name in values:
        different = pc.or_(different, _differs(incoming.column(name), known.column(name)))
    return fresh, incoming.filter(different)


def _numbered(rows: pa.Table, key: list[str], name: str) -> pa.Table:
    return rows.select(key).append_column(name, pa.array(range(rows.num_rows), pa.int64()))


def _differs(left: pa.ChunkedArray, right: pa.ChunkedArray) -> pa.ChunkedArray:
    same = pc.or_(
        pc.fill_null(pc.equal(left, right), False), pc.and_(pc.is_null(left), pc.is_null(right))
    )
    if pa.types.is_floating(left.type):
        # NaN is not equal to itself, yet a NaN that stays a NaN is not a correction.
        both_nan = pc.and_(pc.is_nan(left), pc.is_nan(right))
        same = pc.or_(same, pc.fill_null(both_nan, False))
    return pc.invert(same)


def _rewritten(
    current: pa.Table, fresh: pa.Table, changed: pa.Table, definition: TableDefinition
) -> pa.Table:
    """All rows in the span of the changed ones, plus the new ones; other files stay untouched."""
    key = list(definition.key)
    kept = current.join(changed.select(key), keys=key, join_type="left anti")
    for column, (first, last) in _bounds(changed, definition).items():
        kept = kept.filter(between(kept.column(column), first, last))
    kept = kept.select(changed.column_names).cast(changed.schema)
    return pa.concat_tables([kept, fresh, changed])


def between(values: pa.ChunkedArray, first: Any, last: Any) -> pa.ChunkedArray:
    """For each value, whether it lies in a closed interval.

    Args:
        values: Any orderable type; nulls give null.
        first: Lower bound, inclusive.
        last: Upper bound, inclusive.

    Returns:
        A boolean array of the same length.
    """
    return pc.and_(pc.greater_equal(values, first), pc.less_equal(values, last))


def _bounds(rows: pa.Table, definition: TableDefinition) -> dict[str, tuple[Any, Any]]:
    """The smallest and largest value of each key column; empty for a table without a date column.

    The symbol counts too: a backfill loads the same years once per batch of symbols.
    """
    if definition.date_column is None:
        return {}
    found = {name: pc.min_max(rows.column(name)).as_py() for name in definition.key}
    return {name: (bounds["min"], bounds["max"]) for name, bounds in found.items()}


def _span(rows: pa.Table, definition: TableDefinition) -> BooleanExpression:
    """A filter for the part of the table that merging these rows has to read."""
    span: BooleanExpression = AlwaysTrue()
    for column, (first, last) in _bounds(rows, definition).items():
        if isinstance(first, date):
            first, last = first.isoformat(), last.isoformat()
        span = And(span, GreaterThanOrEqual(column, first), LessThanOrEqual(column, last))
    return span


def sorted_by_key(rows: pa.Table, definition: TableDefinition) -> pa.Table:
    """Sort rows by the table's key, the order in which data files hold them.

    Args:
        rows: Rows with at least the key columns.
        definition: A table with a key.

    Returns:
        The same rows, ascending by each key column in turn.
    """
    # Sorted files let readers skip row groups. The table's metadata does not declare the order,
    # because an engine that cannot honour a declared order refuses to write to the table.
    return rows.sort_by([(name, "ascending") for name in definition.key])


def _in_key_order(rows: pa.Table, definition: TableDefinition) -> pa.Table:
    """Sort the rows by key and check that no key occurs twice."""
    # Loads usually arrive sorted, and comparing neighbours costs a fraction of sorting or of
    # looking up every key.
    rising = _rising(rows, definition)
    if pc.all(rising).as_py() is False:
        rows = sorted_by_key(rows, definition)
        rising = _rising(rows, definition)
        if pc.all(rising).as_py() is False:
            twice = rows.select(definition.key).slice(1).filter(pc.invert(rising))
            example = {name: str(twice.column(name)[0].as_py()) for name in definition.key}
            raise ValueError(
                f"{definition.name}: {twice.num_rows} keys come twice, such as {example}."
            )
    return rows


def _rising(rows: pa.Table, definition: TableDefinition) -> pa.ChunkedArray:
    """For each row but the first, whether its key is greater than the previous row's."""
    before, after = rows.slice(0, max(0, rows.num_rows - 1)), rows.slice(1)
    greater = pa.chunked_array([pa.repeat(False, after.num_rows)])
    same = pa.chunked_array([pa.repeat(True, after.num_rows)])
    for name in definition.key:
        here, there = after.column(name), before.column(name)
        greater = pc.or_(greater, pc.and_(same, pc.greater(here, there)))
        same = pc.and_(same, pc.equal(here, there))
    return greater


def _has_snapshot(table: Table, name: str, value: str) -> bool:
    return any(
        snapshot.summary is not None and snapshot.summary.get(name) == value
        for snapshot in table.snapshots()
    )


def _commit(
    catalog: Catalog,
    definition: TableDefinition,
    plan: Callable[[Table], _Plan],
    commit_id: str,
) -> MergeReport:
    """Plan and write, and repeat while other writers commit in between."""
    write_id = uuid4().hex
    for number in range(ATTEMPTS):
        table = load_table(catalog, definition)
        todo = plan(table)
        if todo.write is None:
            return todo.report(table, committed=False)
        try:
            todo.write(
                {
                    COMMIT_ID: commit_id,
                    WRITE_ID: write_id,
                    NEW_ROWS: str(todo.new),
                    CORRECTED_ROWS: str(todo.corrected),
                }
            )
        except CommitFailedException:
            time.sleep(uniform(0.0, min(MAX_PAUSE_SECONDS, 0.02 * 2**number)))
        except (CommitStateUnknownException, TException):
            # The commit may have succeeded: check below before trying again.
            time.sleep(MAX_PAUSE_SECONDS)
        else:
            return todo.report(table, committed=True)
        table = load_table(catalog, definition)
        if _has_snapshot(table, WRITE_ID, write_id):
            return todo.report(table, committed=True)
    raise CommitConflict(
        f"{definition.name}: other writers kept committing, {ATTEMPTS} attempts in a row failed. "
        "Nothing was written; run the command again."
    )
