"""Compressed request and response bodies, by HTTP's Content-Encoding."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Sequence
from typing import IO, Final, Protocol, cast

import lz4.frame
import zstandard

from deploy.chserver.errors import ClickHouseError
from deploy.chserver.wire import RequestBody

_BUFFER: Final = 256 * 1024


class _ZstdFile:
    """Zstandard frames as a file; unlike the library's own reader it detects truncation.

    Four bytes can expand to a block of 128 KiB, so input is fed in small pieces.
    """

    _FEED = 1024

    def __init__(self, body: io.BufferedReader) -> None:
        self._body = body
        self._library = zstandard.ZstdDecompressor(max_window_size=1 << 27)
        self._frame = self._library.decompressobj()
        self._started = False

    def read(self, _size: int) -> bytes:
        while data := self._frame.unused_data or self._body.read(self._FEED):
            if self._frame.eof:
                self._frame = self._library.decompressobj()
            self._started = True
            if output := self._frame.decompress(data):
                return output
        if self._started and not self._frame.eof:
            raise EOFError("the last frame is not complete")
        return b""


# All of these decompress only as much as is read, which defuses decompression bombs.
_DECODERS: Final[dict[str, Callable[[io.BufferedReader], IO[bytes]]]] = {
    "gzip": lambda body: cast(IO[bytes], gzip.GzipFile(fileobj=body)),
    "lz4": lambda body: cast(IO[bytes], lz4.frame.LZ4FrameFile(body)),
    "zstd": lambda body: cast(IO[bytes], _ZstdFile(body)),
    "xz": lambda body: cast(IO[bytes], lzma.LZMAFile(body)),  # noqa: SIM115
    "bz2": lambda body: cast(IO[bytes], bz2.BZ2File(body)),
}

_BROKEN: Final = (
    OSError,
    EOFError,
    RuntimeError,
    ValueError,
    zlib.error,
    lzma.LZMAError,
    zstandard.ZstdError,
)


class BodyReader:
    """The request's body, decompressed piece by piece."""

    def __init__(self, body: RequestBody, encoding: str) -> None:
        self._encoding = encoding.strip().lower()
        buffered: io.BufferedReader = io.BufferedReader(cast(io.RawIOBase, body), _BUFFER)
        if self._encoding in ("", "identity"):
            self._file: IO[bytes] = buffered
        elif decoder := _DECODERS.get(self._encoding):
            self._file = decoder(buffered)
        else:
            raise ClickHouseError(
                89,
                f"Unknown compression method: {encoding!r}; use {', '.join(_DECODERS)}",
            )
        self._plain = self._file is buffered

    def read(self, size: int = _BUFFER) -> bytes:
        """Return up to ``size`` bytes, empty at the end.

        Raises:
            ClickHouseError: The body breaks off or does not decompress.
        """
        if self._plain:
            return bytes(cast(io.BufferedReader, self._file).read1(size))
        try:
            return self._file.read(size)
        except _BROKEN as error:
            raise ClickHouseError(
                354, f"Cannot decompress the {self._encoding} request body: {error}"
            ) from error


class Encoder(Protocol):
    """Compresses a response's body piece by piece."""

    def compress(self, data: bytes) -> bytes:
        """Take ``data`` in and return what is ready."""
        ...

    def flush(self) -> bytes:
        """Return the rest."""
        ...


class _Lz4Encoder:
    def __init__(self) -> None:
        self._frame = lz4.frame.LZ4FrameCompressor()
        self._head: bytes = self._frame.begin()

    def compress(self, data: bytes) -> bytes:
        head, self._head = self._head, b""
        return head + bytes(self._frame.compress(data))

    def flush(self) -> bytes:
        head, self._head = self._head, b""
        return head + bytes(self._frame.flush())


# Low levels, because on loopback and fast networks the compressor is the bottleneck.
_ENCODERS: Final[dict[str, Callable[[], Encoder]]] = {
    "lz4": _Lz4Encoder,
    "zstd": lambda: zstandard.ZstdCompressor(level=1).compressobj(),
    "gzip": lambda: zlib.compressobj(3, wbits=31),
    "deflate": lambda: zlib.compressobj(3),
}


class Chain:
    """A chain of encoders: ClickHouse's blocks inside HTTP compression."""

    def __init__(self, encoders: Sequence[Encoder]) -> None:
        self._encoders = encoders

    def compress(self, data: bytes) -> bytes:
        """Take ``data`` in and return what is ready."""
        for encoder in self._encoders:
            data = encoder.compress(data) if data else data
        return data

    def flush(self) -> bytes:
        """Return the rest."""
        rest = b""
        for encoder in self._encoders:
            rest = (encoder.compress(rest) if rest else b"") + encoder.flush()
        return rest


def choose_encoder(accept_encoding: str) -> tuple[str, Encoder] | None:
    """Return name and encoder of the first method in ``Accept-Encoding`` that is known here."""
    for item in accept_encoding.split(","):
        name, _, parameters = item.strip().lower().partition(";")
        if parameters.replace(" ", "") in ("q=0", "q=0.0", "q=0.00", "q=0.000"):
            continue
        if encoder := _ENCODERS.get(name.strip()):
            return name.strip(), encoder()
    return None
