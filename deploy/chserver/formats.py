"""Output formats: their content type, and which can be sent block by block.

chDB formats every block of a streamed result like a whole result. Formats without a frame are
concatenated; those with a repeated header are concatenated without it; the others (JSON, Parquet,
Arrow files, Pretty) need the whole result at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

_TYPES: Final = {
    "JSONEachRow": "application/x-ndjson; charset=UTF-8",
    "NDJSON": "application/x-ndjson; charset=UTF-8",
    "JSONLines": "application/x-ndjson; charset=UTF-8",
    "XML": "application/xml; charset=UTF-8",
    "Markdown": "text/markdown; charset=UTF-8",
    "Parquet": "application/octet-stream",
}
_PREFIXES: Final = (
    ("JSON", "application/json; charset=UTF-8"),
    ("CSV", "text/csv; charset=UTF-8"),
    ("TSV", "text/tab-separated-values; charset=UTF-8"),
    ("TabSeparated", "text/tab-separated-values; charset=UTF-8"),
    ("Pretty", "text/plain; charset=UTF-8"),
    ("Vertical", "text/plain; charset=UTF-8"),
)

Joiner = Callable[[bytes, bool], bytes]


def content_type(name: str | None) -> str:
    """Return the Content-Type of a result in the format ``name``."""
    if name is None:
        return "text/plain; charset=UTF-8"
    if name in _TYPES:
        return _TYPES[name]
    return next(
        (kind for prefix, kind in _PREFIXES if name.startswith(prefix)),
        "application/octet-stream",
    )


def joiner(name: str) -> Joiner | None:
    """Return a function that merges the blocks of a streamed result; ``None`` if there is none.

    The function takes a block and whether it is the first, and returns the part to send.
    """
    return _JOINERS.get(name.lower())


def _plain(block: bytes, _first: bool) -> bytes:
    return block


def _skip_lines(count: int) -> Joiner:
    """Drop ``count`` header lines, for formats without line breaks inside values."""

    def join(block: bytes, first: bool) -> bytes:
        return block if first else block.split(b"\n", count)[count]

    return join


def _skip_records(count: int) -> Joiner:
    """Drop ``count`` CSV header records, whose quoted names may contain line breaks."""

    def join(block: bytes, first: bool) -> bytes:
        if first:
            return block
        end = 0
        for _ in range(count):
            start = end
            # A line break inside quotes is preceded by an odd number of them.
            while block.count(b'"', start, end) % 2 or end == start:
                end = block.index(b"\n", end) + 1
        return block[end:]

    return join


def _arrow_stream(block: bytes, first: bool) -> bytes:
    """Drop the schema message of later blocks and the end marker of all.

    A message is ``0xFFFFFFFF``, the length of its metadata and the metadata; a schema has no body.
    A length of zero marks the end (Arrow columnar format, "IPC streaming format"), but is optional.
    """
    end = b"\xff\xff\xff\xff\0\0\0\0"
    body = block.removesuffix(end)
    if first:
        return body
    return body[8 + int.from_bytes(block[4:8], "little") :]


_JOINERS: Final[dict[str, Joiner]] = {
    **dict.fromkeys(
        [
            "native",
            "tabseparated",
            "tsv",
            "tabseparatedraw",
            "tsvraw",
            "csv",
            "rowbinary",
            "jsoneachrow",
            "ndjson",
            "jsonlines",
            "jsoncompacteachrow",
            "jsonstringseachrow",
            "lineasstring",
            "rawblob",
        ],
        _plain,
    ),
    **dict.fromkeys(
        ["tabseparatedwithnames", "tsvwithnames", "jsoncompacteachrowwithnames"], _skip_lines(1)
    ),
    **dict.fromkeys(
        [
            "tabseparatedwithnamesandtypes",
            "tsvwithnamesandtypes",
            "jsoncompacteachrowwithnamesandtypes",
        ],
        _skip_lines(2),
    ),
    "csvwithnames": _skip_records(1),
    "csvwithnamesandtypes": _skip_records(2),
    "arrowstream": _arrow_stream,
}
