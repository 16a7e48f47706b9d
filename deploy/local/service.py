"""Description of a service, choice of its ports, and the end of its log."""

import socket
import ssl
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import HTTPSHandler, ProxyHandler, Request, build_opener

import psutil

from lakehouse.errors import ServiceError

HOST = "127.0.0.1"
LOG_TAIL_LINES = 15


@dataclass(frozen=True)
class Service:
    """How to run one service.

    Attributes:
        name: Used in messages and file names.
        ports: Port numbers by name; 0 takes a free port.
        command: The arguments, given the ports. Must not contain secrets: any account can list
            them.
        environment: Variables added to the environment.
        ready: Whether the service answers as it should, given the ports.
        prepare: Called before each start, given the ports.
        preferred: Port numbers to take on the first start if they are free.
        page: Address for a browser, given the ports.
        login: User name, and the name of the password in config/secrets.json.
        port_variables: Variables that carry a port instead of an argument, by port name.
        directory: Working directory; by default that of the command.
        after_start: Called when the service answers after a start, given the ports.
        patience: Startup timeout in multiples of services.start_timeout_seconds.
    """

    name: str
    ports: dict[str, int]
    command: Callable[[dict[str, int]], list[str]]
    ready: Callable[[dict[str, int]], bool]
    environment: dict[str, str] = field(default_factory=dict, repr=False)
    prepare: Callable[[dict[str, int]], None] | None = None
    preferred: dict[str, int] = field(default_factory=dict)
    page: Callable[[dict[str, int]], str] | None = None
    login: tuple[str, str] | None = None
    port_variables: dict[str, str] = field(default_factory=dict)
    directory: Path | None = None
    after_start: Callable[[dict[str, int]], None] | None = None
    patience: int = 1

    def variables(self, ports: dict[str, int]) -> dict[str, str]:
        """The variables added to the environment, given the ports."""
        numbers = {name: str(ports[port]) for port, name in self.port_variables.items()}
        return self.environment | numbers


def choose_ports(
    wanted: dict[str, dict[str, int]], remembered: dict[str, dict[str, int]]
) -> dict[str, dict[str, int]]:
    """Choose a port for each name of each service: the requested, the last, or a free one.

    Args:
        wanted: Port numbers by service and port name; 0 leaves the choice open.
        remembered: The ports of the last start, by service and port name.

    Returns:
        Port numbers by service and port name, all different.

    Raises:
        ServiceError: A requested port is taken; the message says by whom.
    """
    ports: dict[str, dict[str, int]] = {}
    # Hold all ports until the last is chosen, so that no two services get the same.
    with ExitStack() as held:
        for service, names in wanted.items():
            ports[service] = {}
            for name, number in names.items():
                last = remembered.get(service, {}).get(name, 0)
                listener = _bind(number) if number else _bind(last) or _bind(0)
                if listener is None:
                    raise ServiceError(
                        f"Port {number} of {service} ({name}) is taken{_owner(number)}. Stop that "
                        "program, or set another port (0 takes a free one)."
                    )
                held.enter_context(closing(listener))
                ports[service][name] = listener.getsockname()[1]
    return ports


def ask(
    request: str | Request, *, timeout: float, context: ssl.SSLContext | None = None
) -> AbstractContextManager[Any]:
    """Open a URL on this machine, bypassing any proxy.

    Args:
        request: URL or request.
        timeout: Timeout in seconds.
        context: TLS context; None uses the default.

    Returns:
        The response; close it after use.

    Raises:
        OSError: The server does not answer, or answers with an error.
    """
    opener = build_opener(ProxyHandler({}), HTTPSHandler(context=context))
    answer: AbstractContextManager[Any] = opener.open(request, timeout=timeout)
    return answer


def is_free(port: int) -> bool:
    """Whether a service could listen on a port now."""
    listener = _bind(port)
    if listener:
        listener.close()
    return listener is not None


def _bind(port: int) -> socket.socket | None:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # Like servers do, so that a connection in TIME_WAIT does not block the port.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(1)
    except OSError:
        listener.close()
        return None
    return listener


def _owner(port: int) -> str:
    with suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.pid
            if listens and getattr(connection.laddr, "port", None) == port:
                return f" by {psutil.Process(connection.pid).name()} (process {connection.pid})"
    return ""


def tail(log: Path) -> str:
    """The path and the last lines of a log."""
    try:
        lines = log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
    except OSError:
        lines = []
    return "\n".join([f"The end of {log}:", *(f"  {line}" for line in lines)])
