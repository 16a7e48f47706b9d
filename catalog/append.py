"""Appends rows to a table with as few copies as possible."""

from collections.abc import Iterator
from math import ceil
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.io.pyarrow import write_file
from pyiceberg.partitioning import PartitionFieldValue, PartitionKey
from pyiceberg.table import Table, TableProperties, WriteTask


def append_rows(table: Table, rows: pa.Table, summary: dict[str, str]) -> None:
    """Commit rows as new data files, like ``Table.append`` but cheaper.

    pyiceberg's own append copies every row to split them by partition, even when they all belong
    to one. It also fills each file before it starts the next, which leaves a small last file and
    writer threads that finish at different times.

    Args:
        table: The table in the state on which the decision to append was based.
        rows: The rows, with the columns and types of the table's schema.
        summary: Properties to store in the snapshot's summary.

    Raises:
        CommitFailedException: Another writer committed first; nothing was written.
    """
    with (
        table.transaction() as transaction,
        transaction.update_snapshot(snapshot_properties=summary).fast_append() as snapshot,
    ):
        for data_file in write_file(table.io, table.metadata, _files(table, rows)):
            snapshot.append_data_file(data_file)


def _files(table: Table, rows: pa.Table) -> Iterator[WriteTask]:
    """One write task per data file: rows of one partition, split into files of equal length."""
    size = int(
        table.properties.get(
            TableProperties.WRITE_TARGET_FILE_SIZE_BYTES,
            TableProperties.WRITE_TARGET_FILE_SIZE_BYTES_DEFAULT,
        )
    )
    write_id = uuid4()
    number = 0
    for partition, members in _by_partition(table, rows):
        step = ceil(members.num_rows / ceil(members.nbytes / size))
        for start in range(0, members.num_rows, step):
            yield WriteTask(
                write_uuid=write_id,
                task_id=number,
                schema=table.schema(),
                record_batches=members.slice(start, step).to_batches(),
                partition_key=partition,
            )
            number += 1


def _by_partition(table: Table, rows: pa.Table) -> Iterator[tuple[PartitionKey | None, pa.Table]]:
    """The rows of each partition; the table has one partition column or none."""
    schema, spec = table.schema(), table.spec()
    if spec.is_unpartitioned():
        yield None, rows
        return
    [field] = spec.fields
    source = schema.find_field(field.source_id)
    column = rows.column(source.name)
    # Transforming every row costs more than finding the few distinct values.
    distinct = pc.unique(column)
    values = field.transform.pyarrow_transform(source.field_type)(distinct)
    found = sorted(pc.unique(values).to_pylist())
    for value in found:
        partition = PartitionKey([PartitionFieldValue(field, value)], spec, schema)
        if len(found) == 1:
            yield partition, rows
        else:
            inside = pc.is_in(column, distinct.filter(pc.equal(values, value)))
            yield partition, rows.filter(inside)
