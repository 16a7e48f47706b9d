"""The process manager: supervisord, its configuration, and a client for it.

It restarts crashed services and rotates logs, and listens on a socket that only its owner can open.
All its processes carry a mark in their environment, by which leftovers are found after any kill.
"""

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault, ProtocolError, ServerProxy, Transport

import psutil

from deploy.local.open_files import LEAST, allow_open_files
from deploy.local.service import Service, tail
from lakehouse import __version__
from lakehouse.errors import ServiceError
from lakehouse.home import Home, Secrets, read_json, socket_folder, write_private

MARK = "WEEKAHEAD_STACK_MARK"
DAEMON, LAUNCH = (Path(__file__).with_name(name) for name in ("daemon.py", "launch.py"))
USER = "weekahead"
LOG_LIMIT_BYTES = 20 * 2**20
PATIENCE_SECONDS = 20
# SeaweedFS ends its catalog of files first, and then may wait for a connection to itself that it
# has opened in advance and never used: minutes, with nothing left to do.
STOP_SECONDS = {"seaweedfs": 3}
START_SECONDS = 30.0
ANSWER_SECONDS = 30.0
POLL_SECONDS = 0.1
SHUTDOWN_SECONDS = 120.0
UNREACHABLE = (OSError, HTTPException, ProtocolError, Fault)
MANAGER = """[unix_http_server]
file={socket}
chmod=0700
username={user}
password={password}

[supervisord]
nodaemon=true
silent=true
identifier={identifier}
logfile={logs}/supervisor.log
logfile_maxbytes={limit}
logfile_backups=1
pidfile={run}/supervisor.pid
childlogdir={logs}
umask=077
minfds={files}

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""
PROGRAM = """
[program:{name}]
command="{python}" -I -S "{launch}" "{spec}"
priority={priority}
autostart=false
autorestart=true
startsecs=1
startretries=5
stopwaitsecs={stop}
stopasgroup=true
killasgroup=true
redirect_stderr=true
stdout_logfile={program_logs}/{name}.log
stdout_logfile_maxbytes={limit}
stdout_logfile_backups=2
"""


@dataclass(frozen=True)
class Program:
    """The manager's view of one service.

    Attributes:
        state: RUNNING, STARTING, BACKOFF, STOPPED, EXITED, FATAL …
        pid: Its process id; 0 without a process.
        seconds: Uptime.
        note: Why it is not running.
    """

    state: str
    pid: int
    seconds: int
    note: str

    @property
    def alive(self) -> bool:
        """Whether it has a process that is not being stopped."""
        return self.state in ("STARTING", "RUNNING")


class Manager:
    """The manager of one home."""

    def __init__(self, home: Home, secrets: Secrets) -> None:
        self._home = home
        # Include the path, because a copied home has the same secrets.
        place = f"{secrets['stack_mark']} {home.path.resolve()}"
        self.mark = hashlib.sha256(os.fsencode(place)).hexdigest()
        self._password = secrets["supervisor"]

    def answers(self) -> bool:
        """Whether a manager of this version and environment is running."""
        with suppress(*UNREACHABLE), self._call() as rpc:
            running = rpc.getState()["statename"] == "RUNNING"
            return bool(running and rpc.getIdentification() == self._identifier)
        return False

    def start(self) -> None:
        """Start the manager if needed; leftovers of another one are stopped first.

        Raises:
            ServiceError: It does not answer.
        """
        if self.answers():
            return
        self.stop()
        allow_open_files()
        self._specs.mkdir(mode=0o700, exist_ok=True)
        self._write_config([])
        child = subprocess.Popen(
            [sys.executable, "-P", str(DAEMON), str(self._home.run)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | {MARK: self.mark},
            # A new session, because Ctrl-C must not stop services that others still use.
            start_new_session=True,
        )
        deadline = time.monotonic() + START_SECONDS
        while child.poll() is None and time.monotonic() < deadline:
            if self.answers():
                return
            time.sleep(0.05)
        sweep(self.mark)
        log = tail(self._home.logs / "supervisor.log")
        raise ServiceError(f"The process manager does not start.\n{log}")

    def programs(self) -> dict[str, Program]:
        """The managed services; empty if the manager does not answer."""
        with suppress(*UNREACHABLE), self._call() as rpc:
            return {
                entry["name"]: Program(
                    entry["statename"], entry["pid"], entry["now"] - entry["start"],
                    entry["spawnerr"],
                )
                for entry in rpc.getAllProcessInfo()
            }  # fmt: skip
        return {}

    def changed(self, service: Service, ports: dict[str, int]) -> bool:
        """Whether a service was started with other arguments or variables than wanted now.

        Args:
            service: The service as wanted.
            ports: Its ports by name.

        Returns:
            True also if it was never started.
        """
        wanted = self._description(service, ports)
        known = read_json(self._spec(service.name), default={})
        return any(known.get(name) != wanted[name] for name in ("arguments", "environment"))

    def launch(self, services: Sequence[Service], ports: dict[str, dict[str, int]]) -> None:
        """Start or restart services, without waiting for them.

        Args:
            services: The services.
            ports: Ports by service and port name.

        Raises:
            ServiceError: The manager is gone.
        """
        for service in services:
            self.halt(service.name)
            description = json.dumps(self._description(service, ports[service.name]), indent=1)
            write_private(self._spec(service.name), description)
            (self._home.logs / f"{service.name}.log").touch(mode=0o600)
        names = [service.name for service in services]
        try:
            with self._call() as rpc:
                known = {entry["name"] for entry in rpc.getAllProcessInfo()}
                self._write_config(sorted(known.union(names)))
                rpc.reloadConfig()
                for name in names:
                    if name not in known:
                        rpc.addProcessGroup(name)
                    rpc.startProcess(name, False)
        except UNREACHABLE as error:
            raise ServiceError(
                f"The process manager cannot start {', '.join(names)}: {error}. It was stopped "
                "meanwhile, by `weekahead down` or by a signal: run the command again."
            ) from error

    def halt(self, name: str, *, kill: int = 0) -> None:
        """Stop a service and wait for its end; a no-op if it does not run.

        Args:
            name: The service.
            kill: Process id of a hung service, which is killed instead; 0 for none.
        """
        if kill:
            with suppress(ProcessLookupError):
                os.killpg(kill, signal.SIGKILL)
        with suppress(*UNREACHABLE), self._call() as rpc:
            rpc.stopProcess(name)

    def forget(self, name: str) -> None:
        """Stop a service and remove it from the manager."""
        self.halt(name)
        with suppress(*UNREACHABLE), self._call() as rpc:
            rpc.removeProcessGroup(name)
        self._spec(name).unlink(missing_ok=True)

    def stop(self) -> bool:
        """Stop everything: in order through the manager, then any leftovers.

        Returns:
            Whether there was anything to stop.
        """
        process = self._process()
        if process:
            with suppress(*UNREACHABLE), self._call() as rpc:
                rpc.shutdown()
            deadline = time.monotonic() + SHUTDOWN_SECONDS
            while not _ends(process, POLL_SECONDS) and time.monotonic() < deadline:
                # Any request wakes it up. By itself it looks after its processes once a second,
                # and stops the next one only then.
                with suppress(*UNREACHABLE), self._call() as rpc:
                    rpc.getState()
            with suppress(psutil.NoSuchProcess):
                process.kill()
        found = sweep(self.mark) or bool(process)
        for path in (*self._specs.glob("*.json"), self._config, self._socket):
            path.unlink(missing_ok=True)
        return found

    def _process(self) -> psutil.Process | None:
        """The manager's process, if it answers."""
        with suppress(*UNREACHABLE, psutil.Error), self._call() as rpc:
            return psutil.Process(rpc.getPID())
        return None

    def _description(self, service: Service, ports: dict[str, int]) -> dict[str, Any]:
        return {
            "arguments": service.command(ports),
            "environment": service.variables(ports) | {MARK: self.mark},
            "inherited": dict(os.environ),
            "directory": str(service.directory or Path.cwd()),
        }

    @property
    def _identifier(self) -> str:
        """Distinguishes this version and environment from others on the same home."""
        digest = hashlib.sha256(f"{sys.prefix}\n{LAUNCH}".encode()).hexdigest()[:16]
        return f"weekahead-{__version__}-{digest}"

    @property
    def _specs(self) -> Path:
        return self._home.run / "stack"

    def _spec(self, name: str) -> Path:
        return self._specs / f"{name}.json"

    @property
    def _config(self) -> Path:
        return self._home.run / "supervisor.conf"

    @property
    def _socket(self) -> Path:
        return socket_folder(self._home) / "supervisor.sock"

    def _write_config(self, names: Sequence[str]) -> None:
        shared = {
            "run": _quoted(self._home.run),
            "logs": _quoted(self._home.logs),
            "limit": LOG_LIMIT_BYTES,
        }
        text = MANAGER.format(
            **shared,
            files=LEAST,
            socket=_quoted(self._socket),
            user=USER,
            password=self._password,
            identifier=self._identifier,
        )
        for name in names:
            text += PROGRAM.format(
                **shared,
                name=name,
                # supervisord expands this twice: for the program, and for each process.
                program_logs=_quoted(_quoted(self._home.logs)),
                python=_quoted(sys.executable),
                launch=_quoted(LAUNCH),
                spec=_quoted(self._spec(name)),
                priority=_priority(name),
                stop=STOP_SECONDS.get(name, PATIENCE_SECONDS),
            )
        write_private(self._config, text)

    @contextmanager
    def _call(self) -> Iterator[Any]:
        login = b64encode(f"{USER}:{self._password}".encode()).decode()
        transport = _SocketTransport(self._socket, [("Authorization", f"Basic {login}")])
        with ServerProxy("http://manager", transport=transport) as proxy:
            yield proxy.supervisor


def with_mark(mark: str) -> Iterator[psutil.Process]:
    """Every live process with a home's mark in its environment."""
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            ours = process.environ().get(MARK) == mark
            if ours and process.status() != psutil.STATUS_ZOMBIE:
                yield process


def sweep(mark: str) -> bool:
    """Terminate every process with a home's mark, except this one and its parents.

    Args:
        mark: The home's mark, see ``Manager.mark``.

    Returns:
        Whether there were any.
    """
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    left = [process for process in with_mark(mark) if process.pid not in own]
    for process in left:
        with suppress(psutil.NoSuchProcess):
            # A suspended process must be resumed to handle the signal.
            process.resume()
            process.terminate()
    _, stubborn = psutil.wait_procs(left, timeout=PATIENCE_SECONDS)
    for process in stubborn:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(stubborn, timeout=PATIENCE_SECONDS)
    return bool(left)


class _SocketTransport(Transport):
    """XML-RPC over a Unix socket, with a timeout."""

    def __init__(self, path: Path, headers: list[tuple[str, str]]) -> None:
        super().__init__(headers=headers)
        self._path = path

    def make_connection(self, host: Any) -> HTTPConnection:
        connection = self._connection[1]
        if connection is None:
            connection = _SocketConnection(self._path)
            self._connection = host, connection
        return connection


class _SocketConnection(HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("manager")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(ANSWER_SECONDS)
        self.sock.connect(str(self._path))


def _priority(name: str) -> int:
    """The stopping order, highest first, so that each service stops before those it needs."""
    order = ("seaweedfs", "clickhouse", "prefect", "mlflow")
    last = {"worker": 90, "reaper": 91}
    return last.get(name, order.index(name) * 10 if name in order else 50)


def _ends(process: psutil.Process, seconds: float) -> bool:
    """Whether a process ends in time; one whose parent has not yet asked for it has ended, too."""
    deadline = time.monotonic() + seconds
    with suppress(psutil.NoSuchProcess):
        while process.status() != psutil.STATUS_ZOMBIE:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
    return True


def _quoted(path: str | Path) -> str:
    # In the configuration, a percent sign starts a variable.
    return str(path).replace("%", "%%")
