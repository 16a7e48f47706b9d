"""Substitutes query parameters in the data of ``INSERT ... VALUES``.

The engine receives the data separately and does not substitute parameters in it, so each
``{name:Type}`` is replaced by a literal here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from deploy.chserver.engine import quote, raw
from deploy.chserver.errors import ClickHouseError
from deploy.chserver.statements import Token, tokens

_LARGEST: Final = 4 * 1024**2
_NUMBER: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_NESTED: Final = re.compile(r"(Array|Map|Tuple|Nested)\(")
_ESCAPED: Final = re.compile(r"\\(.)", re.S)
_MEANINGS: Final = {"t": "\t", "n": "\n", "r": "\r", "0": "\0", "b": "\b", "f": "\f"}


def filled(data: Iterator[bytes], params: Mapping[str, str]) -> Iterator[bytes]:
    """Yield the data with parameters replaced by their values.

    Args:
        data: The data in pieces.
        params: Values of ``{name:Type}`` placeholders, escaped like TabSeparated.

    Yields:
        The data, in pieces of any size.

    Raises:
        ClickHouseError: UNKNOWN_QUERY_PARAMETER, BAD_ARGUMENTS, or the data is too large.
    """
    whole = bytearray()
    for piece in data:
        whole += piece
        if len(whole) > _LARGEST:
            raise ClickHouseError(223, f"VALUES with parameters are larger than {_LARGEST} bytes")
    text = bytes(whole)
    stream = list(tokens(text))
    at = 0
    for index, token in enumerate(stream):
        window = stream[index : index + 3]
        if token.text != b"{" or len(window) < 3 or window[2].text != b":":
            continue
        end = next((t for t in stream[index:] if t.text == b"}"), None)
        if end is None:
            break
        yield text[at : token.start]
        kind = text[window[2].end : end.start].decode("utf-8", "replace").strip()
        yield raw(_literal(_name(window[1]), kind, params))
        at = end.end
    yield text[at:]


def _name(token: Token) -> str:
    return token.text.decode("utf-8", "replace")


def _literal(name: str, kind: str, params: Mapping[str, str]) -> str:
    if name not in params:
        raise ClickHouseError(456, f"Substitution `{name[:40]}` is not set")
    value = params[name]
    if value == "\\N":
        return "NULL"
    if _NESTED.match(kind):
        if all(_is_plain(token) for token in tokens(raw(value))):
            return value
        raise ClickHouseError(
            36, f"The query parameter {name[:40]!r} is not a value of {kind[:80]}"
        )
    text = _ESCAPED.sub(lambda m: _MEANINGS.get(m.group(1), m.group(1)), value)
    return text if _NUMBER.fullmatch(text) and "String" not in kind else quote(text)


def _is_plain(token: Token) -> bool:
    """Tell whether a token is part of a literal, such as ``['a', -1]``."""
    return token.kind in ("string", "number") or token.text in b"[](){},:-" or (
        token.is_word(b"NULL", b"TRUE", b"FALSE")
    )  # fmt: skip
