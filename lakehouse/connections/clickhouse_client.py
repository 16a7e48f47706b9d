"""Connections to ClickHouse, with a separate account for each kind of client."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from pydantic import SecretStr

from lakehouse.connections.attachment import prepare
from lakehouse.errors import ServiceError, SettingsError
from lakehouse.settings import Settings
from lakehouse.settings.clickhouse import ClickHouseSettings

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

Role = Literal["admin", "writer", "reader"]
CONNECT_SECONDS = 10
QUERY_SECONDS = 1800
USUAL_PORTS = {"http": 8123, "https": 8443}


# Lakes that this process has attached.
_attached: set[str] = set()


def connect(settings: Settings, role: Role = "writer") -> "Client":
    """Open the warehouse; several threads may share the client.

    The first connection for writing attaches the lake, if its catalog is known.

    Args:
        settings: Address of ClickHouse and its accounts.
        role: ``admin`` attaches the lake, ``writer`` builds the marts, ``reader`` reads the marts.

    Returns:
        A client without a session, so that queries can run in parallel.

    Raises:
        SettingsError: The address is missing or malformed.
        ServiceError: ClickHouse does not answer, or refuses the account.
    """
    lake = f"{settings.clickhouse.url} {settings.catalog!r} {settings.s3!r}"
    if role != "reader" and settings.catalog.uri and lake not in _attached:
        attach_lake(settings)
        _attached.add(lake)
    return _open(settings.clickhouse, role)


def attach_lake(settings: Settings) -> None:
    """Create the warehouse's databases and attach the lake's current state; repeating it is cheap.

    Raises:
        CatalogUnavailable: The catalog does not answer (only if ClickHouse cannot log in to it).
        ServiceError: ClickHouse does not answer, or refuses a statement.
    """
    with _open(settings.clickhouse, "admin") as client:
        prepare(client, settings)


def _open(settings: ClickHouseSettings, role: Role) -> "Client":
    import clickhouse_connect
    from clickhouse_connect.driver.exceptions import Error

    address = server_address(settings)
    user, password = account(settings, role)
    try:
        return clickhouse_connect.get_client(
            host=address.host,
            port=address.port,
            username=user,
            password=password.get_secret_value(),
            secure=address.secure,
            connect_timeout=CONNECT_SECONDS,
            send_receive_timeout=QUERY_SECONDS,
            # A session allows only one query at a time.
            autogenerate_session_id=False,
            query_limit=0,
            client_name="weekahead",
        )
    except Error as error:
        raise ServiceError(
            f"ClickHouse at {settings.url} cannot be used as {user}: {error}. "
            "Check WEEKAHEAD_CLICKHOUSE__URL and the account, and that the server is running."
        ) from error


@dataclass(frozen=True)
class Address:
    """Address of ClickHouse's HTTP interface."""

    host: str
    port: int
    secure: bool


def server_address(settings: ClickHouseSettings) -> Address:
    """The server's address in parts, with ClickHouse's usual port by default.

    Raises:
        SettingsError: The address is missing or malformed.
    """
    url = settings.url
    if not url:
        raise SettingsError(
            "No warehouse address: set WEEKAHEAD_CLICKHOUSE__URL, or use a command that starts "
            "the embedded server, such as 'weekahead run'."
        )
    try:
        address = urlsplit(url)
        port = address.port or USUAL_PORTS[address.scheme]
        if address.hostname:
            return Address(address.hostname, port, address.scheme == "https")
    except (KeyError, ValueError):
        pass
    raise SettingsError(
        f"WEEKAHEAD_CLICKHOUSE__URL is {url!r}; it has to look like http://127.0.0.1:8123."
    )


def account(settings: ClickHouseSettings, role: Role) -> tuple[str, SecretStr]:
    """User name and password of a role.

    Args:
        settings: The accounts.
        role: ``admin``, ``writer`` or ``reader``.

    Returns:
        Name and password.
    """
    return {
        "admin": (settings.admin_user, settings.admin_password),
        "writer": (settings.writer_user, settings.writer_password),
        "reader": (settings.reader_user, settings.reader_password),
    }[role]
