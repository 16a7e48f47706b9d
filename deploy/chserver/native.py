"""The format Native in the protocol version of the client (``client_protocol_version``).

chDB always writes version 0, without the additions of later versions: a header for each block, a
marker for each column, the time zone of a ``DateTime``. They are inserted here, which requires
skipping over each column to find the next. Source: ClickHouse documentation, "Native format", and
``NativeWriter.cpp``, ``ProtocolDefines.h``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from deploy.chserver.errors import ClickHouseError

WITH_ZONES: Final = 54337
_WITH_MARKS: Final = 54454
# No overflow row, no bucket of a two-level aggregation.
_HEAD: Final = b"\x01\x00\x02\xff\xff\xff\xff\x00"

_SIZES: Final = {
    **dict.fromkeys(["Int8", "UInt8", "Bool", "Enum8", "Nothing"], 1),
    **dict.fromkeys(["Int16", "UInt16", "Enum16", "Date", "BFloat16"], 2),
    **dict.fromkeys(["Int32", "UInt32", "Float32", "Date32", "DateTime", "IPv4", "Time"], 4),
    **dict.fromkeys(["Int64", "UInt64", "Float64", "DateTime64", "Time64"], 8),
    **dict.fromkeys(["Int128", "UInt128", "UUID", "IPv6", "Decimal128"], 16),
    **dict.fromkeys(["Int256", "UInt256", "Decimal256"], 32),
}
_ALIASES: Final = {
    "Point": "Tuple(Float64, Float64)",
    "Ring": "Array(Point)",
    "LineString": "Array(Point)",
    "MultiLineString": "Array(LineString)",
    "Polygon": "Array(Ring)",
    "MultiPolygon": "Array(Polygon)",
}
# Digits of a decimal to its bytes.
_DECIMALS: Final = ((9, 4), (18, 8), (38, 16), (76, 32))
_INDEXES: Final = (1, 2, 4, 8)
_FIELD: Final = re.compile(r"(?:`(?:[^`\\]|\\.)*`|[A-Za-z_][A-Za-z0-9_.]*)\s+(?=[A-Z])")


class UnknownSize(Exception):
    """The end of a column of this type cannot be determined."""


def upgraded(blocks: bytes, rows: int, revision: int, types: Callable[[], Sequence[str]]) -> bytes:
    """Convert blocks of version 0 to another protocol version.

    Args:
        blocks: Whole blocks, concatenated.
        rows: Total number of their rows.
        revision: The client's protocol version.
        types: Returns the columns' types with time zones; called only if there may be any.

    Returns:
        The blocks in version ``revision``.

    Raises:
        ClickHouseError: NOT_IMPLEMENTED, for a type that has to be skipped but cannot be.
    """
    if revision <= 0 or not blocks:
        return blocks
    marks = revision >= _WITH_MARKS
    zoned = revision >= WITH_ZONES and b"\x08DateTime" in blocks
    _, at = _varint(blocks, 0)
    single = _varint(blocks, at)[0] == rows
    if single and not marks and not zoned:
        return _HEAD + blocks
    try:
        return _each_block(blocks, types() if zoned else (), marks, single)
    except UnknownSize as error:
        if single and not marks:
            return _HEAD + blocks
        raise ClickHouseError(
            48,
            f"Native of protocol version {revision} is not supported for the type {error}: "
            "cast the column to String, or use another format",
        ) from error


def _each_block(data: bytes, types: Sequence[str], marks: bool, single: bool) -> bytes:
    out: list[bytes] = []
    at = 0
    while at < len(data):
        out.append(_HEAD)
        at = _block(data, at, types, marks, single, out)
    return b"".join(out)


def _block(
    data: bytes, at: int, types: Sequence[str], marks: bool, single: bool, out: list[bytes]
) -> int:
    """Append one block to ``out`` and return where it ends."""
    start = at
    columns, at = _varint(data, at)
    rows, at = _varint(data, at)
    for number in range(columns):
        length, at = _varint(data, at)
        begin = at + length
        length, at = _varint(data, begin)
        name = data[at : at + length].decode("utf-8", "replace")
        at += length
        if name == "DateTime" and number < len(types) and types[number].startswith("DateTime("):
            zoned = types[number].encode()
            out += [data[start:begin], _as_varint(len(zoned)), zoned]
            start = at
        if marks:
            out += [data[start:at], b"\0"]
            start = at
        if single and number == columns - 1:
            at = len(data)
        elif rows:
            at = _skip(data, _skip_prefix(data, at, name), name, rows)
    out.append(data[start:at])
    return at


def _skip_prefix(data: bytes, at: int, kind: str) -> int:
    """Skip what precedes a column's values: the version of each dictionary's keys."""
    name, inner = _parts(kind)
    if name == "LowCardinality":
        return at + 8
    for part in inner if name not in ("FixedString", "Decimal") else ():
        at = _skip_prefix(data, at, part)
    return at


def _skip(data: bytes, at: int, kind: str, rows: int) -> int:
    """Skip ``rows`` values of the type ``kind`` and return where they end."""
    if not rows:
        return at
    name, inner = _parts(kind)
    if name in _SIZES:
        return at + _SIZES[name] * rows
    if name == "String":
        return _skip_strings(data, at, rows)
    if name == "FixedString":
        return at + int(inner[0]) * rows
    if name == "Decimal":
        return at + next(size for digits, size in _DECIMALS if int(inner[0]) <= digits) * rows
    if name == "Nullable":
        return _skip(data, at + rows, inner[0], rows)
    if name == "Array":
        end = at + 8 * rows
        return _skip(data, end, inner[0], int.from_bytes(data[end - 8 : end], "little"))
    if name == "Tuple":
        for part in inner:
            at = _skip(data, at, part, rows)
        # An empty tuple is written as a byte for each row.
        return at if inner else at + rows
    if name == "LowCardinality":
        return _skip_dictionary(data, at, inner[0], rows)
    raise UnknownSize(kind)


def _skip_strings(data: bytes, at: int, rows: int) -> int:
    for _ in range(rows):
        length = data[at]
        at += 1
        if length > 127:
            length, at = _varint(data, at - 1)
        at += length
    return at


def _skip_dictionary(data: bytes, at: int, kind: str, rows: int) -> int:
    size = _INDEXES[data[at] & 3]
    keys = int.from_bytes(data[at + 8 : at + 16], "little")
    plain = _parts(kind)[1][0] if kind.startswith("Nullable(") else kind
    at = _skip(data, at + 16, plain, keys)
    return at + 8 + size * rows


def _parts(kind: str) -> tuple[str, list[str]]:
    """Return a type's base name and its arguments, in terms of a few basic types.

    Raises:
        UnknownSize: Values of the type cannot be skipped.
    """
    kind = _ALIASES.get(kind, kind)
    name, bracket, rest = kind.partition("(")
    inner = _split(rest[:-1]) if bracket else []
    if name.startswith("Interval"):
        return "Int64", []
    if name in _SIZES:
        return name, []
    if name == "SimpleAggregateFunction":
        return _parts(inner[1])
    if name == "Map":
        return "Array", [f"Tuple({inner[0]}, {inner[1]})"]
    if name == "Nested":
        return "Array", [f"Tuple({', '.join(inner)})"]
    if name == "Tuple":
        return name, [_FIELD.sub("", part, count=1) if _FIELD.match(part) else part
                      for part in inner]  # fmt: skip
    if name in ("String", "FixedString", "Decimal", "Nullable", "Array", "LowCardinality"):
        return name, inner
    raise UnknownSize(kind)


def _split(text: str) -> list[str]:
    """Split at the commas outside brackets and quotes."""
    found, depth, start, quote, index = [], 0, 0, "", 0
    while index < len(text):
        char = text[index]
        if quote:
            index += char == "\\"
            quote = "" if char == quote else quote
        elif char in "'`":
            quote = char
        elif char == "," and not depth:
            found.append(text[start:index].strip())
            start = index + 1
        else:
            depth += (char == "(") - (char == ")")
        index += 1
    return [*found, text[start:].strip()] if text else []


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7


def _as_varint(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])
