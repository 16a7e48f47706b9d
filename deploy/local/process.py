"""Starting, watching and stopping one service process."""

import os
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from lakehouse.errors import ServiceError

HOST = "127.0.0.1"
LOG_TAIL_LINES = 15
LOG_LIMIT_BYTES = 20 * 2**20
STOP_SECONDS = 20.0


@dataclass(frozen=True)
class Service:
    """How to run one service.

    Attributes:
        name: Used in messages and file names.
        ports: Port names; each gets a free port, unless a positive number is asked for.
        command: The arguments, given the ports. Secrets never stand here: anybody may list them.
        environment: Variables added to the environment.
        ready: Whether the service answers as it should, given the ports.
        prepare: Called before each start, given the ports.
        preferred: Port numbers to take at the first start if they are free.
        page: Address for a browser, given the ports.
        login: User name, and the name of the password in config/secrets.json.
        port_variables: Variables that carry a port instead of an argument, by port name.
        directory: Where the process runs; by default where the command was given.
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

    def variables(self, ports: dict[str, int]) -> dict[str, str]:
        """The variables that are added to the environment, given the ports."""
        numbers = {name: str(ports[port]) for port, name in self.port_variables.items()}
        return self.environment | numbers


@dataclass(frozen=True)
class Running:
    """A started process; the creation time tells it from a later one with the same number."""

    pid: int
    created: float
    ports: dict[str, int]

    def process(self) -> psutil.Process | None:
        """The process, if it is still the same and alive."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.created) < 1.0
            alive = process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return None
        return process if same and alive else None


def choose_ports(
    wanted: dict[str, dict[str, int]], remembered: dict[str, dict[str, int]]
) -> dict[str, dict[str, int]]:
    """A port for each name of each service: the one asked for, else the last one, else a free one.

    Args:
        wanted: Port numbers by service and port name; 0 leaves the choice open.
        remembered: The ports of the last start, likewise.

    Raises:
        ServiceError: A port that was asked for is taken; the message says by whom.
    """
    ports: dict[str, dict[str, int]] = {}
    # All are held until the last is chosen, so that no two services get the same.
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


def _bind(port: int) -> socket.socket | None:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # As servers do: a connection in TIME_WAIT does not make a port taken.
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


def start(service: Service, ports: dict[str, int], log: Path, *, timeout: float) -> Running:
    """Start a service and wait until it answers.

    Raises:
        ServiceError: It ended, or did not answer in time; the message holds the log's tail.
    """
    if service.prepare:
        service.prepare(ports)
    _rotate(log)
    with log.open("ab") as output:
        log.chmod(0o600)
        # A session of its own: Ctrl-C in the terminal must not stop what others still use.
        child = subprocess.Popen(
            service.command(ports),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | service.variables(ports),
            cwd=service.directory,
            start_new_session=True,
        )
    try:
        _await_ready(service, ports, child, log, timeout)
    except BaseException:
        child.kill()
        child.wait()
        raise
    return Running(child.pid, psutil.Process(child.pid).create_time(), ports)


def _await_ready(
    service: Service,
    ports: dict[str, int],
    child: subprocess.Popen[bytes],
    log: Path,
    timeout: float,
) -> None:
    deadline = time.monotonic() + timeout
    while not service.ready(ports):
        if (code := child.poll()) is not None:
            raise ServiceError(f"{service.name} ended with code {code} at its start.\n{tail(log)}")
        if time.monotonic() > deadline:
            raise ServiceError(
                f"{service.name} did not answer within {timeout:.0f} s.\n{tail(log)}\n"
                "WEEKAHEAD_SERVICES__START_TIMEOUT_SECONDS gives it more time."
            )
        time.sleep(0.05)


def stop(running: Running) -> None:
    """Stop a process of ours: ask, wait, then insist."""
    process = running.process()
    if process is None:
        return
    with suppress(psutil.NoSuchProcess):
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(STOP_SECONDS)


def tail(log: Path) -> str:
    """The last lines of a log, with its path."""
    try:
        lines = log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
    except OSError:
        lines = []
    return "\n".join([f"The end of {log}:", *(f"  {line}" for line in lines)])


def _rotate(log: Path) -> None:
    if log.exists() and log.stat().st_size > LOG_LIMIT_BYTES:
        log.replace(log.with_suffix(".log.1"))
