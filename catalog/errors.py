"""Errors of the Iceberg side, and the root of all others (``lakehouse.errors`` shows the tree)."""


class WeekaheadError(Exception):
    """Base class; the message says what happened and what to do next."""

    exit_code = 1


class RetriableError(WeekaheadError):
    """The same call may succeed later."""


class CatalogError(WeekaheadError):
    """Base of every error that this package raises on purpose."""


class CatalogUnavailable(CatalogError, RetriableError):
    """The catalog or the object store does not answer."""


class TableMissing(CatalogUnavailable):
    """The catalog answers but has no such table."""


class CommitConflict(CatalogError, RetriableError):
    """Other writers kept winning the race; nothing of this commit is in the table."""


class SchemaMismatch(CatalogError):
    """The rows do not fit the table's schema."""
