"""A query as it arrives over HTTP: parameters, headers, credentials, form fields."""

from __future__ import annotations

import base64
import binascii
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import Message
from email.parser import BytesParser
from typing import Final, cast
from urllib.parse import parse_qsl, urlsplit

from deploy.chserver.errors import BadRequest, ClickHouseError

_MAX_FIELDS: Final = 10_000
# The reader's max_execution_time in access.xml.
READER_SECONDS: Final = 60.0
# Parameters of the interface itself; all others are settings of the engine.
TRANSPORT: Final = frozenset(
    [
        "add_http_cors_header",
        "buffer_size",
        "cancel_http_readonly_queries_on_client_close",
        "client_protocol_version",
        "close_session",
        "compress",
        "database",
        "decompress",
        "default_format",
        "enable_http_compression",
        "http_headers_progress_interval_ms",
        "http_response_headers",
        "internal",
        "password",
        "query",
        "query_id",
        "quota_key",
        "role",
        "send_progress_in_http_headers",
        "session_check",
        "session_id",
        "session_timeout",
        "stacktrace",
        "user",
        "wait_end_of_query",
        "http_write_exception_in_output_format",
        "http_zlib_compression_level",
        "http_native_compression_disable_checksumming_on_decompress",
    ]
)


@dataclass(frozen=True)
class External:
    """A table sent with the request (ClickHouse's "external data").

    Attributes:
        name: Its name in SQL.
        structure: Its columns as SQL.
        format: Format of ``data``.
        data: Its rows.
    """

    name: str
    structure: str
    format: str
    data: bytes = field(repr=False)


@dataclass
class HttpQuery:
    """The request without its body."""

    method: str
    path: str
    headers: Mapping[str, str]
    params: dict[str, str]
    query_id: str = ""
    external: list[External] = field(default_factory=list)

    @classmethod
    def parse(cls, method: str, target: bytes, headers: list[tuple[bytes, bytes]]) -> HttpQuery:
        """Parse the request line and headers.

        Args:
            method: HTTP method.
            target: The request's target, with its query string.
            headers: Names in lower case and values; the last of each name counts.

        Returns:
            The query, with a generated id if the client sent none.

        Raises:
            BadRequest: The target cannot be parsed.
        """
        try:
            url = urlsplit(target.decode("ascii"))
            pairs = parse_qsl(
                url.query,
                keep_blank_values=True,
                max_num_fields=_MAX_FIELDS,
                errors="surrogateescape",
            )
        except ValueError as error:
            raise BadRequest(400, f"the request's address cannot be read: {error}") from error
        query = cls(
            method,
            url.path,
            {name.decode("latin-1"): value.decode("latin-1") for name, value in headers},
            dict(pairs),
        )
        query.query_id = _printable(query.params.get("query_id", "")) or str(uuid.uuid4())
        return query

    @property
    def settings(self) -> dict[str, str]:
        """The engine's settings among the parameters."""
        described = {
            f"{table.name}_{what}"
            for table in self.external
            for what in ("structure", "types", "format")
        }
        return {
            name: value
            for name, value in self.params.items()
            if name not in TRANSPORT and not name.startswith("param_") and name not in described
        }

    @property
    def query_params(self) -> dict[str, str]:
        """The values of ``{name:Type}`` placeholders, escaped as the client sent them."""
        return {k[6:]: v for k, v in self.params.items() if k.startswith("param_")}

    @property
    def database(self) -> str | None:
        """The database for unqualified names."""
        return self.headers.get("x-clickhouse-database") or self.params.get("database") or None

    def flag(self, name: str) -> bool:
        """Tell whether a boolean parameter is on."""
        return self.params.get(name, "0").lower() in ("1", "true")

    def number(self, name: str, default: float) -> float:
        """Return a numeric parameter.

        Args:
            name: Name of the parameter.
            default: Returned if it is missing or empty.

        Returns:
            A number between 0 and 1e9.

        Raises:
            ClickHouseError: It is not a number, or out of range.
        """
        text = self.params.get(name)
        if not text:
            return default
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not 0 <= value < 1e9:
            raise ClickHouseError(36, f"Parameter {name} must be a number, not {text[:40]!r}")
        return value

    def credentials(self) -> tuple[str, str]:
        """Return user and password from exactly one of: headers, basic auth, parameters.

        Raises:
            ClickHouseError: They are sent in more than one way, or cannot be parsed.
        """
        basic = self.headers.get("authorization", "")
        has_headers = "x-clickhouse-user" in self.headers or "x-clickhouse-key" in self.headers
        if basic and has_headers:
            raise ClickHouseError(
                516,
                "Invalid authentication: it is not allowed to use X-ClickHouse HTTP headers and "
                "Authorization HTTP header simultaneously",
            )
        if basic:
            return _basic(basic)
        if has_headers:
            found = (
                self.headers.get("x-clickhouse-user", ""),
                self.headers.get("x-clickhouse-key", ""),
            )
        else:
            found = (self.params.get("user", ""), self.params.get("password", ""))
        user, password = (_utf8(value) for value in found)
        return user or "default", password

    def add_form(self, content_type: str, body: bytes) -> bytes:
        """Add the fields of a ``multipart/form-data`` body.

        Parts with a file name are external tables, the others parameters.

        Args:
            content_type: Value of the header Content-Type, with the boundary.
            body: The body.

        Returns:
            The content of the field ``query``.

        Raises:
            ClickHouseError: The body cannot be parsed.
        """
        message = BytesParser().parsebytes(
            b"Content-Type: " + content_type.encode("latin-1", "replace") + b"\r\n\r\n" + body
        )
        parts = cast("list[Message]", message.get_payload())
        if not message.is_multipart():
            raise ClickHouseError(36, "The multipart/form-data body cannot be read")
        statement = b""
        tables: list[tuple[str, bytes]] = []
        for part in parts:
            name = part.get_param("name", header="content-disposition")
            data = part.get_payload(decode=True)
            if not isinstance(name, str) or not isinstance(data, bytes):
                raise ClickHouseError(36, "A part of the multipart/form-data body has no name")
            if part.get_filename() is not None:
                tables.append((name, data))
            elif name == "query":
                statement += data
            else:
                self.params[name] = data.decode("utf-8", "surrogateescape")
        self.external += [self._external(name, data) for name, data in tables]
        return statement

    def _external(self, name: str, data: bytes) -> External:
        structure = self.params.get(f"{name}_structure")
        if not structure:
            types = [t for t in self.params.get(f"{name}_types", "").split(",") if t.strip()]
            structure = ", ".join(f"_{i} {kind}" for i, kind in enumerate(types, 1))
        if not structure:
            raise ClickHouseError(
                36, f"External table {name} has neither {name}_structure nor {name}_types"
            )
        return External(name, structure, self.params.get(f"{name}_format", "TabSeparated"), data)


def _printable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def is_read_only(query: HttpQuery) -> bool:
    """Tell whether the request forbids changes (``readonly``)."""
    return query.params.get("readonly", "0") in ("1", "2")


def narrowed(query: HttpQuery, role: str) -> dict[str, str]:
    """Return the settings that the request changes.

    Like a real server, it ignores settings that merely repeat or narrow a role's limits: the caller
    enforces ``readonly``, and a reader's time limit is not raised by a longer one.

    Args:
        query: The request.
        role: The account's role.

    Returns:
        Values by name, still to be checked by the guard.
    """
    changed = {name: value for name, value in query.settings.items() if name != "log_comment"}
    if role == "admin":
        return changed
    if is_read_only(query):
        del changed["readonly"]
    longest = READER_SECONDS if role == "reader" else float("inf")
    with suppress(ValueError):
        if float(changed.get("max_execution_time", "0")) > longest:
            del changed["max_execution_time"]
    return changed


def _basic(header: str) -> tuple[str, str]:
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        raise ClickHouseError(
            516,
            f"Invalid authentication: '{scheme[:20]}' HTTP Authorization scheme is not supported",
        )
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True).decode("utf-8")
    except (binascii.Error, ValueError) as error:
        raise ClickHouseError(516, "Invalid authentication: not base64 of UTF-8") from error
    user, _, password = decoded.partition(":")
    return user or "default", password


def _utf8(value: str) -> str:
    """Recover UTF-8 from a header that was decoded as Latin-1."""
    try:
        return value.encode("latin-1").decode("utf-8")
    except (UnicodeEncodeError, UnicodeDecodeError):
        return value
