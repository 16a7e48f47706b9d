"""Checks the statements of writer and reader against allowlists (allowed.py).

The engine enforces grants, row policies and limits (access.xml), and the kernel confines the
process (cage.py). In between, chDB acts like a local tool: any connection may change its role,
functions read files, strings are parsed as SQL. So a statement runs only if every function, table
function, setting, format and statement that it names is listed. The rules examine it as the
engine's own parser prints it, where a call is always a name before a bracket, keywords are in upper
case, and comments, odd quoting and heredocs are gone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Final

from deploy.chserver import allowed
from deploy.chserver.errors import ClickHouseError
from deploy.chserver.statements import Token, tokens

# Names that a restricted statement must not contain anywhere: a function can be named without
# being called, as in APPLY(file).
_FORBIDDEN: Final = frozenset({"file", "python", "executable", "executablepool", "definer"})
_READING: Final = allowed.words("SELECT WITH SHOW DESCRIBE EXPLAIN EXISTS USE SET KILL")
_STATEMENTS: Final = {
    "reader": _READING,
    "writer": _READING
    | allowed.words(
        """
        INSERT CREATE REPLACE DROP TRUNCATE RENAME EXCHANGE ALTER DELETE UPDATE OPTIMIZE CHECK
        """
    ),
}
_SHOWN: Final = allowed.words(
    """
    DATABASES TABLES COLUMNS INDEXES CREATE FUNCTIONS SETTINGS SETTING ENGINES FULL EXTENDED
    DICTIONARIES PROCESSLIST CHANGED TEMPORARY
    """
)
_CREATED: Final = allowed.words("TABLE VIEW MATERIALIZED TEMPORARY DATABASE OR")
# Pairs of words that give access to files, disks, other rights or a second statement.
_PAIRS: Final = frozenset(
    {
        *(("TO", "DISK"), ("TO", "VOLUME"), ("TO", "SHARD"), ("INTO", "FUNCTION")),
        *(("EXECUTE", "AS"), ("TABLE", "OVERRIDE"), ("PARALLEL", "WITH"), ("ON", "CLUSTER")),
        *(("FETCH", "PARTITION"), ("FETCH", "PART"), ("SECURITY", "NONE"), ("SECURITY", "DEFINER")),
    }
)
_ALTERS: Final = frozenset(["FREEZE", "UNFREEZE"])
# Keywords that may precede a bracket. None of them is the name of a function.
_KEYWORDS: Final = allowed.words(
    """
    ADD ALIAS ALL AND ANY APPLY AS ASSUME BY CHECK CODEC CUBE DEFAULT DELETE DISTINCT DROP ELSE
    EPHEMERAL EXCEPT FROM GRANULARITY HAVING IN INTERPOLATE INTERSECT JOIN KEY LIKE LIMIT
    MATERIALIZE MATERIALIZED MODIFY MOVE NOT OFFSET ON OR ORDER OVER PARTITION PREWHERE QUALIFY
    RENAME REPLACE ROLLUP SAMPLE SELECT SETS SOME STEP TABLE THEN TO TTL TYPE UNION UPDATE USING
    WHEN WHERE WITH ATTACH CLEAR COMMENT STATISTICS
    """
)
# Names after these are created or written by the statement, not called.
_OBJECTS: Final = frozenset(["INTO", "INDEX", "PROJECTION", "CONSTRAINT", "VIEW"])
_STRUCTURE: Final = re.compile(r"[\w ,().=+\-'`]*", re.ASCII)
_WORD: Final = re.compile(r"'[\w.\-]*'", re.ASCII)
_EVALUATED: Final = re.compile(
    r"\b(AS|SELECT|DEFAULT|ALIAS|MATERIALIZED|EPHEMERAL|CODEC|TTL)\b", re.I
)
_LIMITS: Final = frozenset(["max_execution_time", "max_memory_usage", "max_query_size"])
_REMEMBERED: Final = 1024
_LONGEST_REMEMBERED: Final = 16 * 1024
_STATES: Final = re.compile("AggregateFunction", re.I)
_IDENTIFIER: Final = re.compile(r'\s*[`"]?\w+[`"]?\s*(\.\s*[`"]?\w+[`"]?\s*)?')
_END: Final = Token("other", b"")


@dataclass(frozen=True)
class Names:
    """The names that the engine knows.

    Attributes:
        functions: Functions except table functions, in lower case.
        settings: Settings, including those of MergeTree.
        system: Tables of the database ``system``.
    """

    functions: frozenset[str] = frozenset()
    settings: frozenset[str] = frozenset()
    system: frozenset[str] = frozenset()


class Guard:
    """Checks statements and parameters against the role that wants to run them."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._refused = {name for name in names.functions if not allowed.function(name)}
        self._hidden = names.system - allowed.READER_SYSTEM
        # A verdict depends only on the arguments, so it can be cached. Refusals are exceptions,
        # which are not cached.
        self._remembered = lru_cache(_REMEMBERED)(self._judge)

    def check(
        self,
        role: str,
        canonical: str,
        params: Mapping[str, str] | None = None,
        database: str | None = None,
    ) -> None:
        """Refuse a statement that a role must not run.

        Args:
            role: The connection's role.
            canonical: One statement, as ``Parser.canonical`` prints it.
            params: Query parameters; those used as identifiers count as part of the statement.
            database: The database that the request chose for unqualified names.

        Raises:
            ClickHouseError: ACCESS_DENIED, NOT_IMPLEMENTED or SETTING_CONSTRAINT_VIOLATION.
        """
        given = tuple((params or {}).items())
        length = len(canonical) + sum(len(value) for _, value in given)
        judge = self._remembered if length <= _LONGEST_REMEMBERED else self._judge
        judge(role, canonical, given, database)

    def _judge(
        self,
        role: str,
        canonical: str,
        given: tuple[tuple[str, str], ...],
        database: str | None,
    ) -> None:
        params = dict(given)
        stream = list(tokens(canonical.encode("utf-8", "surrogateescape")))
        _check_files(stream)
        if role == "admin":
            return
        stream = _with_identifiers(stream, params)
        _check_statement(role, stream)
        if role == "reader":
            _check_states(stream, params)
            self._check_tables(stream, database)
        self._check_names(stream)
        for name, inner in _settings(stream):
            self.check_setting(role, name)
            # In a subquery the engine enforces limits silently, if at all.
            if inner and name in _LIMITS:
                raise ClickHouseError(452, f"Setting {name} should not be changed in a subquery")

    def check_setting(self, role: str, name: str) -> None:
        """Refuse to change a setting that is not on the role's list.

        Args:
            role: The connection's role.
            name: Name of the setting.

        Raises:
            ClickHouseError: UNKNOWN_SETTING, READONLY or SETTING_CONSTRAINT_VIOLATION.
        """
        if role == "admin" or allowed.setting(name, role):
            return
        if name.lower() in ("profile", "readonly", "role"):
            raise ClickHouseError(164, f"Cannot modify '{name}' setting as {role}")
        if name in self._names.settings:
            raise ClickHouseError(452, f"Setting {name} should not be changed by {role}")
        raise ClickHouseError(115, f"Unknown setting '{name[:80]}'")

    def check_format(self, role: str, name: str) -> None:
        """Refuse a format that needs a schema, a template or a registry.

        Args:
            role: The connection's role; the admin may use all formats.
            name: Name of the format.

        Raises:
            ClickHouseError: ACCESS_DENIED.
        """
        if role != "admin" and not allowed.output(name):
            raise _denied(f"the format {name[:80]!r}")

    def _check_names(self, stream: list[Token]) -> None:
        first = stream[0].text if stream else b""
        padded = [_END, _END, *stream, _END, _END]
        for index, token in enumerate(padded[2:-2], 2):
            name = token.name
            if name is None:
                continue
            before, after = padded[index - 1], padded[index + 1]
            if before.text == b"=" and padded[index - 2].is_word(b"ENGINE"):
                if name not in allowed.ENGINES:
                    raise _denied(f"the engine {name!r}")
            elif name in _FORBIDDEN or (name in self._refused and before.text != b"."):
                raise _denied(f"the name {name!r}")
            elif after.text == b"(" and not _is_object(padded, index, first):
                _check_call(name, token, padded, index + 1)

    def _check_tables(self, stream: list[Token], database: str | None) -> None:
        inside = (database or "").lower() == "system"
        for token, dot, table in zip(stream, stream[1:], stream[2:], strict=False):
            qualified = token.name == "system" and dot.text == b"."
            if qualified and table.name not in allowed.READER_SYSTEM:
                raise _denied(f"system.{table.name}")
        for token in stream if inside else ():
            if token.name in self._hidden:
                raise _denied(f"system.{token.name}")


def _check_call(name: str, token: Token, stream: list[Token], bracket: int) -> None:
    """Check a name that precedes a bracket."""
    if token.kind == "word" and token.text.decode("ascii", "replace") in _KEYWORDS:
        return
    if not allowed.function(name):
        if _is_common_table(stream, bracket):
            return
        raise _denied(f"the function {name!r}")
    wanted = allowed.TYPES_IN_STRINGS.get(name)
    if name not in allowed.STRUCTURES and wanted is None and name != "format":
        return
    arguments = list(_arguments(stream, bracket))
    first = arguments[0] if arguments else []
    if name == "format" and not _is_pattern(first, arguments):
        raise _denied("the table function 'format'")
    if name in allowed.STRUCTURES and not _is_harmless(name, first):
        raise _denied(f"{name}() with columns that are not plainly names and types")
    if wanted is not None and len(arguments) > max(wanted, 0):
        chosen = arguments[wanted]
        if len(chosen) != 1 or chosen[0].kind != "string":
            raise _denied(f"{name}() with a computed type")


def check_structure(structure: str) -> None:
    """Refuse a table structure that could evaluate an expression.

    Raises:
        ClickHouseError: ACCESS_DENIED.
    """
    stream = [*tokens(structure.encode()), _END]
    depths = accumulate((token.text == b"(") - (token.text == b")") for token in stream)
    plain = _STRUCTURE.fullmatch(structure) and not _EVALUATED.search(structure)
    if not plain or "--" in structure or _STATES.search(structure) or min(depths) < 0:
        raise _denied("columns that are not plainly names and types")
    for token, after in pairwise(stream):
        if token.name and after.text == b"(" and not allowed.data_type(token.name):
            raise _denied(f"{token.name!r} in a description of columns")


def check_role(role: str, wanted: str | None) -> None:
    """Refuse any role other than the account's own.

    Args:
        role: The account's role.
        wanted: The requested role; None or empty keeps the account's.

    Raises:
        ClickHouseError: SET_NON_GRANTED_ROLE.
    """
    if wanted and wanted != role:
        raise ClickHouseError(512, f"Role {wanted} should be granted to set as current")


def _check_files(stream: list[Token]) -> None:
    for token, follows in pairwise(stream):
        if (token.is_word(b"INTO") and follows.is_word(b"OUTFILE")) or (
            token.is_word(b"FROM") and follows.is_word(b"INFILE")
        ):
            raise ClickHouseError(
                48, "INTO OUTFILE and FROM INFILE are the client's work, not the server's"
            )


def _check_statement(role: str, stream: list[Token]) -> None:
    start = next((i for i, token in enumerate(stream) if token.text != b"("), 0)
    words = [token.text.decode("ascii", "replace").upper() for token in stream[start:]]
    first, second, third = (*words[:3], "", "", "")[:3]
    refused = first not in _STATEMENTS[role]
    # SET ROLE, SET DEFAULT ROLE, SET TRANSACTION SNAPSHOT
    refused |= first == "SET" and third != "="
    refused |= first == "SHOW" and second not in _SHOWN
    refused |= first in ("CREATE", "REPLACE") and second not in _CREATED
    refused |= (first, second) == ("CHECK", "GRANT")
    refused |= first == "KILL" and second != "QUERY"
    refused |= first == "USE" and role == "reader" and "SYSTEM" in words
    refused |= first == "ALTER" and (second != "TABLE" or bool(_ALTERS.intersection(words)))
    refused |= first == "EXPLAIN" and role == "reader" and not {"SELECT", "WITH"} & set(words)
    refused |= first == "DROP" and second not in _CREATED
    if refused:
        raise _denied(f"the statement {' '.join(words[:3])[:80]}")
    for pair in pairwise(token for token in stream if token.kind != "string"):
        if pair[0].kind == pair[1].kind == "word" and (
            (pair[0].text.decode(), pair[1].text.decode()) in _PAIRS
        ):
            raise _denied(f"{pair[0].text.decode()} {pair[1].text.decode()}")


def _check_states(stream: list[Token], params: Mapping[str, str]) -> None:
    """Keep the reader from building states of aggregate functions from raw bytes."""
    texts = [token.text.decode("utf-8", "replace") for token in stream]
    if any(_STATES.search(text) for text in (*texts, *params.values())):
        raise _denied("the type AggregateFunction")


def _settings(stream: list[Token]) -> Iterator[tuple[str, bool]]:
    """Yield the names of all settings that the statement changes, and whether in a subquery."""
    shows = bool(stream) and stream[0].is_word(b"SHOW")
    depth = 0
    for index, (before, token, after) in enumerate(
        zip([_END, *stream], stream, [*stream[1:], _END], strict=False)
    ):
        begins = (token.text == b"SETTINGS" and token.kind == "word" and not shows) or (
            token.is_word(b"SETTING") and before.is_word(b"MODIFY", b"RESET")
        )
        begins |= index == 0 and token.is_word(b"SET")
        depth += (token.text == b"(") - (token.text == b")")
        if begins and after.name is not None:
            yield from ((name, depth > 0) for name in _assigned(stream, index + 1))


def _assigned(stream: list[Token], index: int) -> Iterator[str]:
    """Yield the names in ``name = value, name = value``, up to a keyword or closing bracket."""
    depth = 0
    place = "name"
    for token in stream[index:]:
        opens = token.text in (b"(", b"[", b"{")
        closes = token.text in (b")", b"]", b"}")
        depth += opens - closes
        if depth < 0:
            return
        if depth or closes:
            place = "behind"
        elif token.text == b"," and place == "behind":
            place = "name"
        elif token.text == b"=" and place == "behind":
            place = "value"
        elif place == "name" and token.name is not None:
            yield token.name
            place = "behind"
        elif place == "value":
            place = "behind" if token.text != b"-" else "value"
        elif token.kind == "word":
            return


def _is_object(stream: list[Token], index: int, first: bytes) -> bool:
    """Tell a table or index that the statement creates or fills from a function."""
    before = stream[index - 1]
    if before.text == b"." or before.is_word(*(word.encode() for word in _OBJECTS)):
        return True
    makes = first in (b"CREATE", b"REPLACE", b"ALTER", b"TRUNCATE", b"OPTIMIZE", b"DELETE")
    if before.is_word(b"TABLE"):
        return makes
    return makes and before.is_word(b"EXISTS") and stream[index - 2].is_word(b"NOT", b"IF")


def _is_common_table(stream: list[Token], bracket: int) -> bool:
    """Tell ``name(a, b) AS (SELECT ...`` of a WITH clause from a call."""
    end = next((i for i in range(bracket, len(stream)) if stream[i].text == b")"), len(stream))
    inside = stream[bracket + 1 : end]
    plain = all(token.name is not None or token.text == b"," for token in inside)
    texts = [token.text for token in stream[end + 1 : end + 4]]
    return plain and texts[:2] == [b"AS", b"("] and texts[2:] in ([b"SELECT"], [b"WITH"])


def _arguments(stream: list[Token], bracket: int) -> Iterator[list[Token]]:
    """Yield the tokens of each argument of the call whose bracket opens at ``bracket``."""
    depth = 0
    argument: list[Token] = []
    for token in stream[bracket + 1 :]:
        if token.text in (b"(", b"[", b"{"):
            depth += 1
        elif token.text in (b")", b"]", b"}"):
            depth -= 1
        if depth < 0 or (depth == 0 and token.text == b","):
            yield argument
            argument = []
            if depth < 0:
                return
        else:
            argument.append(token)


def _is_pattern(first: list[Token], arguments: list[list[Token]]) -> bool:
    """Tell the function ``format('{} {}', ...)`` from the table function.

    The table function's first argument is the name of a format, never a pattern.
    """
    return len(first) == 1 and first[0].kind == "string" and (
        b"{" in first[0].text and len(arguments) > 1
    )  # fmt: skip


def _is_harmless(name: str, first: list[Token]) -> bool:
    """Tell whether the first argument of ``values`` and the like describes plain columns."""
    if len(first) == 1 and first[0].kind == "string":
        text = first[0].text.decode("utf-8", "replace")
        # A single word is a value, because a column needs a type.
        if name != "values" or not _WORD.fullmatch(text):
            check_structure(text[1:-1].replace("\\'", "'"))
        return True
    if name != "values" or not first:
        return False
    # Rows without a structure, which the engine accepts only as a literal string.
    row = first[0].text == b"(" and first[-1].text == b")" and _is_closed(first)
    return row or all(token.kind == "number" or token.text in b"-." for token in first)


def _is_closed(row: list[Token]) -> bool:
    """Tell whether a row's opening bracket is closed by its last token."""
    depth = 0
    for token in row[:-1]:
        depth += (token.text in (b"(", b"[")) - (token.text in (b")", b"]"))
        if depth == 0:
            return False
    return True


def _with_identifiers(stream: list[Token], params: Mapping[str, str]) -> list[Token]:
    """Replace ``{name:Identifier}`` by the identifiers in the parameter."""
    result: list[Token] = []
    index = 0
    while index < len(stream):
        window = stream[index : index + 5]
        if [token.text for token in window[:1] + window[2:3] + window[4:]] == [
            b"{",
            b":",
            b"}",
        ] and (window[3].name == "identifier"):
            value = params.get(window[1].text.decode("utf-8", "replace"), "")
            if value and not _IDENTIFIER.fullmatch(value):
                raise _denied(f"the identifier {value[:80]!r}")
            for part in value.split("."):
                text = part.strip(' `"')
                result.append(Token("quoted", text.encode(), name=text.lower()))
                result.append(Token("other", b"."))
            result.pop()
            index += 5
        else:
            result.append(stream[index])
            index += 1
    return result


def _denied(what: str) -> ClickHouseError:
    return ClickHouseError(497, f"Not enough privileges: your role must not use {what}")
