"""Every error that weekahead raises on purpose, grouped by what the caller should do.

WeekaheadError
├── UsageError            the request is wrong: correct it (exit code 2)
│   └── SettingsError     a setting or the settings file is wrong
├── FatalError            stop; someone has to act first
│   ├── HomeError         the home directory cannot be used (permissions, disk full)
│   ├── ServiceError      a service does not start or does not answer
│   └── TransformError    dbt reports a failed model or test
├── RetriableError        the same call may succeed later
│   ├── SourceUnavailable the quote API does not answer, or refuses for now
│   │   └── Unreachable   the host cannot be reached at all
│   ├── CatalogUnavailable   the Iceberg catalog or the object store does not answer
│   │   └── TableMissing     the catalog answers but has no such table
│   └── CommitConflict    other writers won every attempt; nothing was committed
├── SkippableError        leave this symbol out and continue with the others
│   └── UnknownSymbol     the source does not know the symbol
└── DataError             the data itself is wrong or missing
    ├── BadPayload        a response does not follow the wire format
    ├── TooManyRejects    the quality gate stopped the load before any commit
    └── NotEnoughData     too little history for the request

Iceberg errors are ``CatalogError`` as well; so is ``SchemaMismatch`` (rows that do not fit the
table).
"""

from catalog.errors import RetriableError as RetriableError
from catalog.errors import WeekaheadError as WeekaheadError


class UsageError(WeekaheadError):
    """The request is wrong and must be corrected."""

    exit_code = 2


class SettingsError(UsageError):
    """A setting, or the settings file, cannot be used."""


class FatalError(WeekaheadError):
    """Retrying does not help; someone has to act first."""


class HomeError(FatalError):
    """The home directory cannot be used: missing permissions or a full disk."""


class ServiceError(FatalError):
    """A service does not start or does not answer."""


class TransformError(FatalError):
    """A dbt model or test failed."""


class SourceUnavailable(RetriableError):
    """The quote API does not answer, or refuses for now."""


class Unreachable(SourceUnavailable):
    """The host cannot be reached, so every further request would fail too."""


class SkippableError(WeekaheadError):
    """One symbol cannot be handled; the others can."""


class UnknownSymbol(SkippableError):
    """The source does not know the symbol."""


class DataError(WeekaheadError):
    """The data is wrong or missing."""


class BadPayload(DataError):
    """A response does not follow the source's wire format."""


class TooManyRejects(DataError):
    """More rows were rejected than the configured share; nothing was committed."""


class NotEnoughData(DataError):
    """Too little history for the request."""
