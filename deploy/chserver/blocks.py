"""ClickHouse's own compressed blocks, which drivers request with ``compress`` and ``decompress``.

A block is a CityHash128 checksum (version 1.0.2) of the rest, one byte for the method, the size of
the compressed part including this 9-byte header, the size of the content, and the content. Source:
ClickHouse documentation, "Native protocol", and ``CompressionInfo.h``.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final, Protocol

import lz4.block
import zstandard
from clickhouse_cityhash.cityhash import CityHash128

from deploy.chserver.errors import ClickHouseError

_HEAD: Final = struct.Struct("<BII")
_CHECKSUM: Final = 16
# The engine's max_compress_block_size, and the least that a block on the wire is worth.
_BLOCK: Final = 1024 * 1024
# ClickHouse's DBMS_MAX_COMPRESSED_SIZE is 1 GiB; no driver sends blocks of over a few MiB.
_LARGEST: Final = 64 * 1024 * 1024

_NONE, _LZ4, _ZSTD = 0x02, 0x82, 0x90


class Readable(Protocol):
    """The source of a body."""

    def read(self, size: int = ..., /) -> bytes:
        """Return up to ``size`` bytes, empty at the end."""
        ...


def _lz4(data: bytes) -> bytes:
    return bytes(lz4.block.compress(data, store_size=False))


def _zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=1).compress(data)


_METHODS: Final[dict[str, tuple[int, Callable[[bytes], bytes]]]] = {
    "LZ4": (_LZ4, _lz4),
    "LZ4HC": (_LZ4, _lz4),
    "ZSTD": (_ZSTD, _zstd),
    "NONE": (_NONE, bytes),
}


def _checksum(part: bytes) -> bytes:
    value = CityHash128(part)
    return struct.pack("<QQ", value >> 64, value & 0xFFFFFFFFFFFFFFFF)


class BlockEncoder:
    """Compresses a response's body into blocks of at most 1 MiB."""

    def __init__(self, method: str) -> None:
        """Take the value of ``network_compression_method``.

        Raises:
            ClickHouseError: UNKNOWN_COMPRESSION_METHOD.
        """
        try:
            self._method, self._compress = _METHODS[method.upper()]
        except KeyError:
            raise ClickHouseError(
                89, f"Unknown compression method: {method[:40]!r}; use {', '.join(_METHODS)}"
            ) from None

    def compress(self, data: bytes) -> bytes:
        """Return ``data`` as blocks."""
        return b"".join(
            self._block(data[start : start + _BLOCK]) for start in range(0, len(data), _BLOCK)
        )

    def flush(self) -> bytes:
        """Return nothing, because blocks are never held back."""
        return b""

    def _block(self, data: bytes) -> bytes:
        content = self._compress(data)
        part = _HEAD.pack(self._method, _HEAD.size + len(content), len(data)) + content
        return _checksum(part) + part


class BlockReader:
    """A file-like reader that decompresses a request's body."""

    def __init__(self, body: Readable, verify: bool = True) -> None:
        self._body = body
        self._verify = verify
        self._ready = b""

    def read(self, size: int = _BLOCK) -> bytes:
        """Return up to ``size`` bytes, empty at the end.

        Raises:
            ClickHouseError: CANNOT_DECOMPRESS, CHECKSUM_DOESNT_MATCH or TOO_LARGE_SIZE_COMPRESSED.
        """
        while not self._ready:
            checksum = self._exactly(_CHECKSUM, may_end=True)
            if not checksum:
                return b""
            self._ready = self._block(checksum)
        data, self._ready = self._ready[:size], self._ready[size:]
        return data

    def _block(self, checksum: bytes) -> bytes:
        head = self._exactly(_HEAD.size)
        method, packed, size = _HEAD.unpack(head)
        if not _HEAD.size <= packed <= _LARGEST or size > _LARGEST:
            raise ClickHouseError(
                271, f"Too large compressed block: {packed} bytes, {size} decompressed"
            )
        content = self._exactly(packed - _HEAD.size)
        if self._verify and _checksum(head + content) != checksum:
            raise ClickHouseError(40, "Checksum doesn't match: corrupted data of the request body")
        try:
            data = _decompress(method, content, size)
        except (lz4.block.LZ4BlockError, zstandard.ZstdError, ValueError) as error:
            raise ClickHouseError(271, f"Cannot decompress a block: {error}") from error
        if len(data) != size:
            raise ClickHouseError(271, f"A block has {len(data)} bytes instead of {size}")
        return data

    def _exactly(self, size: int, may_end: bool = False) -> bytes:
        found = bytearray()
        while len(found) < size:
            piece = self._body.read(size - len(found))
            if not piece:
                if may_end and not found:
                    return b""
                raise ClickHouseError(271, "The request body ends within a compressed block")
            found += piece
        return bytes(found)


def _decompress(method: int, content: bytes, size: int) -> bytes:
    if method == _LZ4:
        return bytes(lz4.block.decompress(content, uncompressed_size=size))
    if method == _ZSTD:
        # The library allocates the size that the frame claims, so check it first.
        if zstandard.frame_content_size(content) > size:
            raise ValueError("its frame states a larger size than its head")
        return zstandard.ZstdDecompressor().decompress(content, max_output_size=size)
    if method == _NONE:
        return content
    raise ClickHouseError(89, f"Unknown compression method: byte {method:#x}; use LZ4 or ZSTD")
