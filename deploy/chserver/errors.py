"""Errors as ClickHouse's HTTP interface reports them: a numeric code, its name and a text.

Codes and HTTP statuses follow ClickHouse's ``ErrorCodes.cpp`` and ``exceptionCodeToHTTPStatus``;
clients decide by them what to retry (clickhouse-connect retries 429, 503 and 504).
"""

from __future__ import annotations

import math
import re
from typing import Final

NAMES: Final[dict[int, str]] = {
    3: "UNEXPECTED_END_OF_FILE",
    33: "CANNOT_READ_ALL_DATA",
    36: "BAD_ARGUMENTS",
    40: "CHECKSUM_DOESNT_MATCH",
    48: "NOT_IMPLEMENTED",
    62: "SYNTAX_ERROR",
    89: "UNKNOWN_COMPRESSION_METHOD",
    115: "UNKNOWN_SETTING",
    164: "READONLY",
    159: "TIMEOUT_EXCEEDED",
    194: "REQUIRED_PASSWORD",
    202: "TOO_MANY_SIMULTANEOUS_QUERIES",
    209: "SOCKET_TIMEOUT",
    216: "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING",
    223: "QUERY_IS_TOO_LARGE",
    271: "CANNOT_DECOMPRESS",
    354: "ZLIB_INFLATE_FAILED",
    372: "SESSION_NOT_FOUND",
    373: "SESSION_IS_LOCKED",
    374: "INVALID_SESSION_TIMEOUT",
    394: "QUERY_WAS_CANCELLED",
    456: "UNKNOWN_QUERY_PARAMETER",
    497: "ACCESS_DENIED",
    512: "SET_NON_GRANTED_ROLE",
    516: "AUTHENTICATION_FAILED",
    1002: "UNKNOWN_EXCEPTION",
}

# Errors caused by the request; codes that are missing here are answered with 500.
HTTP_STATUS: Final[dict[int, int]] = {
    code: status
    for status, codes in {
        # BAD_ARGUMENTS, CANNOT_PARSE_*, SYNTAX_ERROR, INCORRECT_DATA, TYPE_MISMATCH and the like.
        400: "3 6 8 15 25 26 27 33 36 38 40 41 44 53 62 70 72 89 117 167 168 271 321 354 374 376 "
        "427 441 452 456 675 676",
        401: "194",
        403: "164 192 193 497 512 516",
        404: "46 47 50 56 60 63 73 78 81 115 139 336 372 511",
        408: "159",
        413: "223",
        501: "48",
        503: "202 209 439",
    }.items()
    for code in map(int, codes.split())
}

_CODE = re.compile(r"Code: (\d+)\. DB::Exception: ")
_NAME = re.compile(r"\s*\(([A-Z][A-Z0-9_]+)\)\s*$")
_VERSION = re.compile(r"\s*\(version [^()]*(?:\([^()]*\))?\)\.?\s*")


class ClickHouseError(Exception):
    """A failure that is reported to the client in ClickHouse's own form.

    Attributes:
        code: ClickHouse's error code.
        name: Its name, such as ``SYNTAX_ERROR``.
        text: What happened, without code and name.
    """

    def __init__(self, code: int, text: str, name: str | None = None) -> None:
        self.code = code
        self.name = name or NAMES.get(code, "UNKNOWN_EXCEPTION")
        self.text = text
        super().__init__(f"Code: {code}. DB::Exception: {text.rstrip('. ')}. ({self.name})")

    @property
    def http_status(self) -> int:
        """The HTTP status with which ClickHouse answers this code."""
        return HTTP_STATUS.get(self.code, 500)

    @classmethod
    def from_engine(cls, error: BaseException) -> ClickHouseError:
        """Parse code, name and text from an exception of chDB.

        chDB prefixes and nests the engine's message ("Streaming insert append failed: Code: 27.
        DB::Exception: Code: 27. ..."); clients expect it once.
        """
        if isinstance(error, UnicodeDecodeError):
            # The engine repeats the statement, which need not be valid UTF-8.
            message = error.object.decode("utf-8", "replace")
        else:
            message = str(error)
        codes = list(_CODE.finditer(message))
        if not codes:
            return cls(1002, message or type(error).__name__)
        name = "UNKNOWN_EXCEPTION"
        text = _VERSION.sub(" ", message[codes[-1].end() :]).strip()
        while found := _NAME.search(text):
            name = found.group(1)
            text = text[: found.start()].rstrip(". ")
        return cls(int(codes[-1].group(1)), text, name)


_OUT_OF_MEMORY: Final = 241
_NEEDED = re.compile(r"would use ([\d.]+) (\w+)\b.*?maximum: ([\d.]+) (\w+)", re.DOTALL)
_UNITS: Final = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
# A statement needs more memory in total than it had requested when it was stopped.
_RESERVE: Final = 1.25


def with_advice(error: ClickHouseError, memory_setting: str) -> ClickHouseError:
    """Add advice to an out-of-memory error; other errors are returned unchanged.

    Args:
        error: The engine's error.
        memory_setting: The setting behind the engine's limit and its value in GiB, as
            ``NAME=VALUE``; empty if unknown.

    Returns:
        An error with the same code.
    """
    found = _NEEDED.search(error.text) if error.code == _OUT_OF_MEMORY else None
    if not found:
        return error
    if error.text.startswith("Query memory limit"):
        advice = "Ask for less at once: fewer symbols, dates or columns"
    else:
        name, _, value = memory_setting.partition("=")
        if not value:
            return error
        needed, limit = (float(found[number]) * _UNITS[found[number + 1]] for number in (1, 3))
        enough = math.ceil(2 * float(value) * max(needed / limit, 1) * _RESERVE) / 2
        advice = f"The limit follows {name}, now {value}; {enough:g} should be enough"
    return ClickHouseError(error.code, f"{error.text.rstrip('. ')}. {advice}", error.name)


class ClientGone(Exception):
    """The client closed the connection, so there is no one to answer."""


class BadRequest(Exception):
    """The request is not valid HTTP, or not supported.

    Attributes:
        status: The HTTP status to answer with.
    """

    def __init__(self, status: int, text: str) -> None:
        self.status = status
        super().__init__(text)
