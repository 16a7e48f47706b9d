"""Every error that weekahead raises on purpose, grouped by what the caller should do.

WeekaheadError
├── UsageError            the request is wrong: correct it (exit code 2)
│   └── SettingsError     a setting or the settings file is wrong
├── FatalError            stop; somebody has to act first
│   ├── HomeError         the home directory cannot be used (rights, disk full)
│   ├── ServiceError      a service does not start or does not answer
│   └── TransformError    dbt reports a failed model or test
├── RetriableError        the same call may succeed later
│   ├── SourceUnavailable the quote API does not answer, or refuses for now
│   │   └── Unreachable   there is no connection to it at all
│   ├── CatalogUnavailable   the Iceberg catalog or the object store does not answer
│   │   └── TableMissing     it answers, and there is no such table
│   └── CommitConflict    other writers kept winning; nothing was committed
├── SkippableError        leave this symbol out and go on with the others
│   └── UnknownSymbol     the source has never heard of the symbol
└── DataError             the data itself is wrong, or there is none
    ├── BadPayload        an answer that does not follow the wire format
    ├── TooManyRejects    the quality gate stopped the load before any commit
    └── NotEnoughData     too little history for what was asked

Those of the Iceberg side are ``CatalogError`` as well, with ``SchemaMismatch`` (rows that do not
fit the table) beside them.
"""

from catalog.errors import RetriableError as RetriableError
from catalog.errors import WeekaheadError as WeekaheadError


class UsageError(WeekaheadError):
    """The request is wrong and has to be corrected."""

    exit_code = 2


class SettingsError(UsageError):
    """A setting, or the settings file, cannot be used."""


class FatalError(WeekaheadError):
    """Nothing helps but somebody acting first."""


class HomeError(FatalError):
    """The home directory cannot be used: missing rights or a full disk."""


class ServiceError(FatalError):
    """A service does not start or does not answer."""


class TransformError(FatalError):
    """A dbt model or test failed."""


class SourceUnavailable(RetriableError):
    """The quote API does not answer, or refuses for now."""


class Unreachable(SourceUnavailable):
    """No connection to the host at all: every further request would fail, too."""


class SkippableError(WeekaheadError):
    """One symbol cannot be handled; the others can."""


class UnknownSymbol(SkippableError):
    """The source does not know the symbol."""


class DataError(WeekaheadError):
    """The data is wrong, or there is none."""


class BadPayload(DataError):
    """An answer does not follow the source's wire format."""


class TooManyRejects(DataError):
    """More rows were rejected than the configured share; nothing was committed."""


class NotEnoughData(DataError):
    """There is too little history for what was asked."""
