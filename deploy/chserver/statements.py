"""Reads just enough SQL to serve it: where an INSERT's data begins, and the requested format.

The engine parses and checks every statement itself; this lexer only mirrors how ClickHouse's own
(``src/Parsers/Lexer.cpp``) delimits strings, comments and names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

_TOKEN: Final = re.compile(
    rb"""
      (?P<space>[\s\x00\x0b\x0c\xa0]+ | \xef\xbb\xbf | \xc2\xa0)
    | (?P<comment>--[^\n]*(?:\n|\Z) | \#[\ !][^\n]*(?:\n|\Z) | /\*.*?\*/)
    | (?P<string>'(?:[^'\\]++|\\.|'')*+' | \xe2\x80\x98.*?\xe2\x80\x99
        | (?P<tag>\$[A-Za-z_0-9]*\$).*?(?P=tag))
    | (?P<quoted>`(?:[^`\\]++|\\.|``)*+` | "(?:[^"\\]++|\\.|"")*+" | \xe2\x80\x9c.*?\xe2\x80\x9d)
    | (?P<open>'|`|"|/\*|\xe2\x80\x98|\xe2\x80\x9c)
    | (?P<word>[A-Za-z_][A-Za-z0-9_$]*)
    | (?P<number>[0-9][A-Za-z0-9_.]*)
    | (?P<other>.)
    """,
    re.X | re.S,
)
_ESCAPE: Final = re.compile(rb"\\(.)|``|\"\"|''", re.S)
_AFTER_FORMAT: Final = re.compile(rb"[ \t\r]*;?[ \t\r]*\n?")


class Token(NamedTuple):
    """A token of a statement.

    Attributes:
        kind: ``word``, ``quoted`` (a quoted name), ``string``, ``number``, ``other`` (one byte)
            or ``open``: an unterminated string, name or comment.
        text: The token; of a quoted name, its content.
        start: Offset of its first byte.
        end: Offset after its last byte.
        name: The identifier in lower case, quoted or not; ``None`` for other tokens.
    """

    kind: str
    text: bytes
    start: int = 0
    end: int = 0
    name: str | None = None

    def is_word(self, *words: bytes) -> bool:
        """Tell whether this is one of the keywords, in any case."""
        return self.kind == "word" and self.text.upper() in words


_NOTHING: Final = Token("other", b"")


def tokens(sql: bytes) -> Iterator[Token]:
    """Yield the tokens of ``sql`` without spaces and comments; an ``open`` token is the last."""
    for match in _TOKEN.finditer(sql):
        kind = match.lastgroup or "other"
        if kind == "tag":
            kind = "string"
        if kind in ("space", "comment"):
            continue
        text = match.group()
        if kind == "quoted":
            quote = 3 if text[:1] == b"\xe2" else 1
            text = _ESCAPE.sub(lambda m: m.group(1) or m.group()[:1], text[quote:-quote])
        named = kind in ("word", "quoted")
        name = text.decode("utf-8", "replace").lower() if named else None
        yield Token(kind, text, match.start(), match.end(), name)
        if kind == "open":
            return


@dataclass(frozen=True)
class Insert:
    """An INSERT with inline data.

    Attributes:
        statement: The statement up to, but excluding, ``VALUES`` or ``FORMAT``.
        format: Format of the data.
        data_start: Offset of the first byte of the data.
    """

    statement: bytes
    format: str
    data_start: int


def find_insert_data(sql: bytes) -> Insert | None:
    """Find where the data of an INSERT begins; ``None`` if ``sql`` has none (yet).

    ``INSERT ... SELECT`` has none. The one exception, ``SELECT ... FROM input(...) FORMAT x``, is
    not supported by chDB.
    """
    stream = tokens(sql)
    if not _skip_target(stream):
        return None
    depth = 0
    for token in stream:
        if token.text in (b"(", b"[", b"{"):
            depth += 1
        elif token.text in (b")", b"]", b"}"):
            depth -= 1
        elif depth or token.kind != "word":
            continue
        elif token.is_word(b"SELECT", b"WITH", b"INFILE"):
            return None
        elif token.is_word(b"VALUES"):
            return Insert(sql[: token.start], "Values", token.end)
        elif token.is_word(b"FORMAT"):
            return _at_format(sql, token.start, next(stream, None))
    return None


def _skip_target(stream: Iterator[Token]) -> bool:
    """Skip ``[WITH ...] INSERT INTO [TABLE|FUNCTION] name``; False for anything else."""
    token = next(stream, None)
    if token and token.is_word(b"WITH"):
        token = _skip_with(stream)
    elif token and token.is_word(b"INSERT"):
        token = next(stream, None)
    else:
        return False
    if token and token.is_word(b"INTO"):
        token = next(stream, None)
    if token and token.is_word(b"TABLE", b"FUNCTION"):
        token = next(stream, None)
    return token is not None


def _skip_with(stream: Iterator[Token]) -> Token | None:
    """Skip a WITH clause and the INSERT after it; ``None`` without an INSERT."""
    depth = 0
    before = _NOTHING
    for token in stream:
        depth += (token.text in (b"(", b"[", b"{")) - (token.text in (b")", b"]", b"}"))
        if depth == 0 and token.is_word(b"SELECT"):
            return None
        # A column, alias or function may also have this name.
        if depth == 0 and before.is_word(b"INSERT") and token.kind in ("word", "quoted"):
            return None if token.is_word(b"AS", b"FROM", b"UNION") else token
        named = before.text == b"." or before.is_word(b"AS")
        before = _NOTHING if depth or named else token
    return None


def _at_format(sql: bytes, start: int, name: Token | None) -> Insert | None:
    # A name at the very end may continue in the next piece of the body.
    if name is None or name.kind != "word" or name.end == len(sql):
        return None
    gap = _AFTER_FORMAT.match(sql, name.end)
    return Insert(sql[:start], name.text.decode(), gap.end() if gap else name.end)


def first_words(sql: bytes, count: int = 2) -> tuple[str, ...]:
    """Return the first keywords in upper case, ignoring opening brackets.

    Args:
        sql: The statement.
        count: Maximum number of keywords.

    Returns:
        Keywords up to the first other token.
    """
    words: list[str] = []
    for token in tokens(sql):
        if token.text == b"(" and not words:
            continue
        if token.kind != "word" or len(words) == count:
            break
        words.append(token.text.decode().upper())
    return tuple(words)


def split_format(sql: bytes) -> tuple[bytes, str | None]:
    """Return the statement without its own FORMAT clause, and the format named in it."""
    clause = _format_clause(sql)
    if clause is None:
        return sql, None
    keyword, name = clause
    return sql[: keyword.start] + sql[name.end :], name.text.decode("utf-8", "replace")


def _format_clause(sql: bytes) -> tuple[Token, Token] | None:
    """Return the keyword and the name of the last FORMAT clause outside of brackets."""
    found, keyword, previous, depth = None, None, b"", 0
    for token in tokens(sql):
        if token.text in (b"(", b"["):
            depth += 1
        elif token.text in (b")", b"]"):
            depth -= 1
        if keyword:
            found = (keyword, token) if token.kind == "word" else found
            keyword = None
        elif depth == 0 and token.is_word(b"FORMAT") and previous.upper() not in (b"AS", b"."):
            keyword = token
        previous = token.text
    return found
