"""What the engine's grants cannot refuse, refused here before a statement runs.

Grants, row policies and setting constraints are the engine's (access.xml). chDB leaves a few doors
open that a server closes, because it takes itself for a local tool: the scalar function ``file``
reads any file, ``Python`` reads objects of this process, ``INTO OUTFILE`` and ``FROM INFILE`` are
files on this machine, and any connection may change its role. The rules look at the statement as
the engine's parser prints it, so comments, quoting and odd spacing hide nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Final

from lakehouse.chserver.errors import ClickHouseError
from lakehouse.chserver.statements import Token, tokens

# Names that no restricted statement may contain, whatever their place.
_READS_OUTSIDE: Final = frozenset({"file", "python", "executable", "executablepool"})
_LENDS_RIGHTS: Final = frozenset({"definer"})
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
_CONTROL_ALLOWED: Final = frozenset({"USE", "SET", "KILL"})
_NEVER_SET: Final = frozenset({"profile", "readonly", "role"})


def check(
    role: str, canonical: str, query_class: str, params: Mapping[str, str] | None = None
) -> None:
    """Refuse what ``role`` must not run.

    Args:
        role: The connection's role.
        canonical: One statement, as ``Connection.canonical`` prints it.
        query_class: The engine's class of the statement.
        params: Query parameters; the ones used as identifiers count as part of the statement.

    Raises:
        ClickHouseError: ACCESS_DENIED or NOT_IMPLEMENTED.
    """
    stream = _with_identifiers(list(tokens(canonical.encode("utf-8", "surrogateescape"))), params)
    _check_files(stream)
    if role == "admin":
        return
    if query_class not in ("READ_ONLY", "MUTATING", "CONTROL"):
        raise _denied(f"a {query_class} statement")
    if query_class == "CONTROL":
        _check_control(role, stream)
    for index, token in enumerate(stream):
        name = token.name
        if name in _READS_OUTSIDE or name in _LENDS_RIGHTS:
            raise _denied(f"the name {token.text.decode('utf-8', 'replace')!r}")
        follows = stream[index + 1] if index + 1 < len(stream) else None
        if (
            name in _NEVER_SET
            and follows is not None
            and follows.text == b"="
            and _in_settings(stream[:index])
        ):
            raise _denied(f"a change of {name!r}")
        if role == "reader" and name == "system" and follows is not None and follows.text == b".":
            table = stream[index + 2].name if index + 2 < len(stream) else None
            if table not in _READER_SYSTEM:
                raise _denied(f"system.{table}")


def check_settings(role: str, settings: Mapping[str, str], wanted_role: str | None) -> None:
    """Refuse parameters of the request that would lead out of the role and its profile."""
    if wanted_role and wanted_role != role:
        raise ClickHouseError(512, f"Role {wanted_role} should be granted to set as current")
    for name in settings:
        if role != "admin" and name.lower() in _NEVER_SET:
            raise ClickHouseError(164, f"Cannot modify '{name}' setting as {role}")


def check_database(role: str, database: str | None) -> None:
    """Refuse ``system`` as a reader's current database: its tables are reached by full name."""
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
    words = [token.text.decode("ascii", "replace").upper() for token in stream[:3]]
    first = words[0] if words else ""
    if first not in _CONTROL_ALLOWED:
        raise _denied(f"the statement {first}")
    if first == "SET" and (len(words) < 3 or words[2] != "="):
        # SET ROLE, SET DEFAULT ROLE, SET TRANSACTION SNAPSHOT
        raise _denied(f"the statement {' '.join(words)}")
    if first == "USE" and role == "reader" and "SYSTEM" in words:
        raise _denied("the database system")


def _in_settings(before: list[Token]) -> bool:
    return any(token.is_word(b"SETTINGS", b"SET") for token in before)


def _with_identifiers(stream: list[Token], params: Mapping[str, str] | None) -> list[Token]:
    """Replace ``{name:Identifier}`` by the identifiers that the parameter names."""
    result: list[Token] = []
    index = 0
    while index < len(stream):
        window = stream[index : index + 5]
        if (
            len(window) == 5
            and window[0].text == b"{"
            and window[2].text == b":"
            and window[3].name == "identifier"
            and window[4].text == b"}"
        ):
            value = (params or {}).get(window[1].text.decode("utf-8", "replace"), "")
            for part in value.split("."):
                result += [
                    Token("quoted", part.strip(' `"').encode(), 0, 0),
                    Token("other", b".", 0, 0),
                ]
            result.pop()
            index += 5
        else:
            result.append(stream[index])
            index += 1
    return result


def _denied(what: str) -> ClickHouseError:
    return ClickHouseError(497, f"Not enough privileges: your role must not use {what}")
