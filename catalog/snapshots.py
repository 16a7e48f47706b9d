"""Snapshots: which one is current, and tags that keep one from expiring."""

from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.table import Table

from catalog.connect import load_table
from catalog.errors import CommitConflict
from catalog.merge import ATTEMPTS, current_snapshot
from catalog.tables import TABLES, TableDefinition


def current_snapshots(
    catalog: Catalog, definitions: tuple[TableDefinition, ...] = TABLES
) -> dict[str, int | None]:
    """The current snapshot of each table.

    Args:
        catalog: The catalog.
        definitions: The tables; by default all.

    Returns:
        Snapshot ids by table name; None for an empty table.

    Raises:
        TableMissing: A table does not exist.
        CatalogUnavailable: The catalog does not answer.
    """
    return {
        definition.name: current_snapshot(load_table(catalog, definition))
        for definition in definitions
    }


def tag_snapshot(catalog: Catalog, definition: TableDefinition, snapshot_id: int, tag: str) -> None:
    """Tag a snapshot so that maintenance keeps it; setting the same tag again is a no-op.

    Args:
        catalog: The catalog, opened for writing.
        definition: The table.
        snapshot_id: A snapshot in the table's history.
        tag: Name of the tag; unique within the table.

    Raises:
        ValueError: The tag belongs to another snapshot, or the snapshot has expired.
        TableMissing: The table does not exist.
        CatalogUnavailable: The catalog does not answer.
        CommitConflict: Other writers won every attempt; the tag was not set.
    """
    for _ in range(ATTEMPTS):
        table = load_table(catalog, definition)
        existing = tags(table).get(tag)
        if existing == snapshot_id:
            return
        if existing is not None:
            raise ValueError(f"{definition.name}: tag {tag} belongs to snapshot {existing}.")
        if table.snapshot_by_id(snapshot_id) is None:
            raise ValueError(f"{definition.name} has no snapshot {snapshot_id} any more.")
        try:
            table.manage_snapshots().create_tag(snapshot_id, tag).commit()
        except CommitFailedException:
            continue
        return
    raise CommitConflict(f"{definition.name}: the tag {tag} could not be set; try again.")


def untag_snapshot(catalog: Catalog, definition: TableDefinition, tag: str) -> bool:
    """Remove a tag, so that its snapshot may expire.

    Args:
        catalog: The catalog, opened for writing.
        definition: The table.
        tag: Name of the tag.

    Returns:
        Whether the tag existed.

    Raises:
        TableMissing: The table does not exist.
        CatalogUnavailable: The catalog does not answer.
        CommitConflict: Other writers won every attempt; the tag is still set.
    """
    for _ in range(ATTEMPTS):
        table = load_table(catalog, definition)
        if tag not in tags(table):
            return False
        try:
            table.manage_snapshots().remove_tag(tag).commit()
        except CommitFailedException:
            continue
        return True
    raise CommitConflict(f"{definition.name}: the tag {tag} could not be removed; try again.")


def tags(table: Table) -> dict[str, int]:
    """The table's tags and the snapshot each points to."""
    return {
        name: reference.snapshot_id
        for name, reference in table.metadata.refs.items()
        if reference.snapshot_ref_type == "tag"
    }
