"""Errors of the Iceberg side.

CatalogError
├── CatalogUnavailable   the catalog or the object store does not answer
│   └── TableMissing     it answers, and there is no such table
├── CommitConflict       other writers kept winning; nothing was committed
└── SchemaMismatch       the rows do not fit the table
"""


class CatalogError(Exception):
    """Base of everything that this package raises on purpose."""


class CatalogUnavailable(CatalogError):
    """The catalog or the object store does not answer."""


class TableMissing(CatalogUnavailable):
    """The catalog answers, and there is no such table."""


class CommitConflict(CatalogError):
    """Other writers kept winning the race; nothing of this commit is in the table."""


class SchemaMismatch(CatalogError):
    """The rows to be written do not fit the table's schema."""
