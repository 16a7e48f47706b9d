"""The engine's own parser, which classifies a statement before any of it runs."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from deploy.chserver.engine import Connection, Engine, escape, is_text, quote, raw
from deploy.chserver.errors import ClickHouseError
from deploy.chserver.statements import split_format

_REMEMBERED: Final = 1024
_LONGEST: Final = 16 * 1024
_PATIENCE: Final = 10.0


@dataclass(frozen=True)
class Parsed:
    """A statement as the engine understands it.

    Attributes:
        canonical: Its normalised text, without comments.
        kind: The engine's class: READ_ONLY, MUTATING, CONTROL, ...
        query: ``canonical`` without its own FORMAT clause.
        format: The format named in that clause; ``None`` without one.
    """

    canonical: str
    kind: str
    query: str
    format: str | None


class Parser:
    """Parses the statements of one role on its own connection; caches recent ones."""

    def __init__(self, engine: Engine, role: str) -> None:
        self._connection = Connection(engine, role)
        self._lock = threading.Lock()
        self._known: OrderedDict[str, Parsed] = OrderedDict()

    def parse(self, sql: str) -> Parsed:
        """Parse a single statement.

        Raises:
            ClickHouseError: SYNTAX_ERROR, also for more than one statement.
        """
        if not self._lock.acquire(timeout=_PATIENCE):
            raise ClickHouseError(202, "Too many simultaneous queries: the parser is busy")
        try:
            parsed = self._known.pop(sql, None) or self._ask(sql)
            if len(sql) <= _LONGEST:
                self._known[sql] = parsed
                if len(self._known) > _REMEMBERED:
                    self._known.popitem(last=False)
            return parsed
        finally:
            self._lock.release()

    def _ask(self, sql: str) -> Parsed:
        try:
            if is_text(sql):
                result = self._connection.run(
                    "SELECT formatQuerySingleLine({sql:String})", "TSVRaw", {"sql": escape(sql)}
                )
            else:
                # Parameters must be UTF-8, but statements need not be.
                quoted = f"SELECT formatQuerySingleLine({quote(sql)})"
                result = self._connection.run(quoted, "TSVRaw")
        except ClickHouseError as error:
            text = error.text.split(": In scope SELECT formatQuery")[0]
            raise ClickHouseError(error.code, text, error.name) from error
        canonical = result.bytes().decode("utf-8", "surrogateescape").strip()
        query, form = split_format(raw(canonical))
        text = query.decode("utf-8", "surrogateescape")
        return Parsed(canonical, self._connection.classify(sql), text, form)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
