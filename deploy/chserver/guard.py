"""What the engine's grants cannot refuse, refused here before a statement runs.

Grants, row policies and setting constraints are the engine's (access.xml). chDB leaves a few doors
open that a server closes, because it takes itself for a local tool: the scalar function ``file``
reads any file, ``Python`` reads objects of this process, ``INTO OUTFILE`` and ``FROM INFILE`` are
files on this machine, and any connection may change its role. The rules look at the statement as
the engine's parser prints it, so comments, quoting and odd spacing hide nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Final

from deploy.chserver.errors import ClickHouseError
from deploy.chserver.statements import Token, tokens

# Names that no restricted statement may contain, whatever their place: a function can be named
# without being called, as in APPLY(file).
_FORBIDDEN: Final = frozenset({"file", "python", "executable", "executablepool", "definer"})
# Table functions that stay inside; of all others the engine is asked for the names, so that a new
# one is refused until somebody has looked at it.
_TABLE_FUNCTIONS: Final = frozenset(
    [
        "format",
        "generate_series",
        "generaterandom",
        "generateseries",
        "merge",
        "null",
        "numbers",
        "numbers_mt",
        "primes",
        "sqlstandardvalues",
        "values",
        "view",
        "zeros",
        "zeros_mt",
    ]
)
_READER_SYSTEM: Final = frozenset(
    [
        "columns",
        "tables",
        "databases",
        "functions",
        "settings",
        "data_type_families",
        "formats",
        "one",
        "numbers",
        "numbers_mt",
        "time_zones",
        "table_functions",
        "collations",
        "keywords",
        "contributors",
        "licenses",
        "build_options",
        "aggregate_function_combinators",
        "table_engines",
        "clusters",
        "macros",
        "completions",
        "documentation",
    ]
)
# CONTROL in the engine's classification covers everything that changes the session.
_CONTROL_ALLOWED: Final[dict[str, frozenset[str]]] = {
    "reader": frozenset({"USE", "SET", "KILL"}),
    # With a SETTINGS clause the engine files ALTER and DELETE under CONTROL.
    "writer": frozenset({"USE", "SET", "KILL", "ALTER", "DELETE", "SYSTEM", "CREATE", "DROP"}),
}
_NEVER_SET: Final = frozenset({"profile", "readonly", "role"})
_END: Final = Token("other", b"", 0, 0)


class Guard:
    """Judges statements and parameters by the role that wants to run them."""

    def __init__(self, table_functions: Iterable[str]) -> None:
        """Take the names of all table functions that the engine has."""
        self._outside = frozenset(name.lower() for name in table_functions) - _TABLE_FUNCTIONS

    def check(
        self,
        role: str,
        canonical: str,
        query_class: str,
        params: Mapping[str, str] | None = None,
    ) -> None:
        """Refuse what ``role`` must not run.

        Args:
            role: The connection's role.
            canonical: One statement, as ``Connection.canonical`` prints it.
            query_class: The engine's class of the statement.
            params: Query parameters; those used as identifiers count as part of the statement.

        Raises:
            ClickHouseError: ACCESS_DENIED or NOT_IMPLEMENTED.
        """
        stream = list(tokens(canonical.encode("utf-8", "surrogateescape")))
        stream = _with_identifiers(stream, params or {})
        _check_files(stream)
        if role == "admin":
            return
        if query_class not in ("READ_ONLY", "MUTATING", "CONTROL"):
            raise _denied(f"a {query_class} statement")
        if query_class == "CONTROL":
            _check_control(role, stream)
        padded = [_END, *stream, _END, _END, _END]
        changes_settings = False
        for index, token in enumerate(padded[1:-3], 1):
            before, after = padded[index - 1], padded[index + 1 : index + 4]
            self._check_name(token, before, after)
            changes_settings |= token.is_word(b"SETTINGS", b"SET")
            if changes_settings and token.name in _NEVER_SET and after[0].text == b"=":
                raise _denied(f"a change of {token.name!r}")
            if role == "reader" and token.name == "system" and after[0].text == b".":
                _check_system_table(after[1])

    def _check_name(self, token: Token, before: Token, after: list[Token]) -> None:
        name = token.name
        if name is None:
            return
        if name in _FORBIDDEN:
            raise _denied(f"the name {name!r}")
        called = after[0].text == b"(" and before.text != b"."
        if called and (name in self._outside or (name == "format" and not _is_pattern(after))):
            raise _denied(f"the table function {name!r}")


def check_parameters(
    role: str, settings: Mapping[str, str], database: str | None, wanted_role: str | None
) -> None:
    """Refuse parameters of the request that would lead out of the role and its profile."""
    if wanted_role and wanted_role != role:
        raise ClickHouseError(512, f"Role {wanted_role} should be granted to set as current")
    if role == "admin":
        return
    for name in settings:
        if name.lower() in _NEVER_SET:
            raise ClickHouseError(164, f"Cannot modify '{name}' setting as {role}")
    # The tables of system are told apart by their full names.
    if role == "reader" and database and database.lower() == "system":
        raise _denied("the database system")


def _check_files(stream: list[Token]) -> None:
    for token, follows in pairwise(stream):
        if (token.is_word(b"INTO") and follows.is_word(b"OUTFILE")) or (
            token.is_word(b"FROM") and follows.is_word(b"INFILE")
        ):
            raise ClickHouseError(
                48, "INTO OUTFILE and FROM INFILE are the client's work, not the server's"
            )


def _check_control(role: str, stream: list[Token]) -> None:
    words = [token.text.decode("ascii", "replace").upper() for token in stream[:5]]
    first = words[0] if words else ""
    refused = first not in _CONTROL_ALLOWED[role]
    # SET ROLE, SET DEFAULT ROLE, SET TRANSACTION SNAPSHOT
    refused |= first == "SET" and words[2:3] != ["="]
    refused |= first in ("CREATE", "DROP") and "TEMPORARY" not in words
    refused |= first == "USE" and role == "reader" and "SYSTEM" in words
    if refused:
        raise _denied(f"the statement {' '.join(words[:3])}")


def _check_system_table(table: Token) -> None:
    if table.name not in _READER_SYSTEM:
        raise _denied(f"system.{table.name}")


def _is_pattern(after: list[Token]) -> bool:
    """Tell the function ``format('{} {}', ...)`` from the table function.

    The table function evaluates the defaults in its description of columns, which is a string and
    so escapes the look at the statement. Its first argument is a format's name, never a pattern.
    """
    return after[1].kind == "string" and b"{" in after[1].text and after[2].text == b","


def _with_identifiers(stream: list[Token], params: Mapping[str, str]) -> list[Token]:
    """Replace ``{name:Identifier}`` by the identifiers that the parameter names."""
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
            for part in value.split("."):
                result.append(Token("quoted", part.strip(' `"').encode(), 0, 0))
                result.append(Token("other", b".", 0, 0))
            result.pop()
            index += 5
        else:
            result.append(stream[index])
            index += 1
    return result


def _denied(what: str) -> ClickHouseError:
    return ClickHouseError(497, f"Not enough privileges: your role must not use {what}")
