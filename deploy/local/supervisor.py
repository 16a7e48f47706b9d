"""The process manager of the local stack: supervisord, its configuration, and talking to it.

It restarts what crashes and rotates logs. It is reached through a socket that only its owner can
open. Everything it starts carries a mark in the environment, by which leftovers are found.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault, ServerProxy

import psutil

from deploy.local.process import LOG_LIMIT_BYTES, STOP_SECONDS, Running, Service, tail
from lakehouse.errors import ServiceError
from lakehouse.home import Home, read_json, write_private

MARK = "WEEKAHEAD_STACK_MARK"
LAUNCH = Path(__file__).with_name("launch.py")
# Paths of sockets are short by law of the kernel.
MAX_SOCKET_PATH = 90
START_SECONDS = 15.0
SHUTDOWN_SECONDS = 120.0
BAD_NAME, ALREADY_ADDED, NOT_RUNNING = 10, 90, 70
MANAGER = """[unix_http_server]
file={socket}
chmod=0700
username=weekahead
password={password}

[supervisord]
nodaemon=true
silent=true
logfile={logs}/supervisor.log
logfile_maxbytes={limit}
logfile_backups=1
pidfile={run}/supervisor.pid
childlogdir={logs}
umask=077

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""
PROGRAM = """
[program:{name}]
command="{python}" "{launch}" "{spec}"
priority={priority}
autostart=false
autorestart=true
startsecs=1
startretries=5
stopwaitsecs={stop}
stopasgroup=true
killasgroup=true
redirect_stderr=true
stdout_logfile={logs}/{name}.log
stdout_logfile_maxbytes={limit}
stdout_logfile_backups=2
"""


@dataclass(frozen=True)
class Program:
    """What the manager says about one service.

    Attributes:
        state: RUNNING, STARTING, BACKOFF, STOPPED, EXITED, FATAL …
        pid: Its process, 0 when there is none.
        note: Why it is not running.
    """

    state: str
    pid: int
    note: str


class Supervisor:
    """The manager of one home."""

    def __init__(self, home: Home, secrets: dict[str, str]) -> None:
        self._home = home
        self._secrets = secrets

    @property
    def _specs(self) -> Path:
        return self._home.run / "stack"

    @property
    def _config(self) -> Path:
        return self._home.run / "supervisor.conf"

    @property
    def _socket(self) -> Path:
        path = self._home.run / "supervisor.sock"
        if len(str(path)) <= MAX_SOCKET_PATH:
            return path
        digest = hashlib.sha256(str(self._home.path).encode()).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"weekahead-{os.getuid()}-{digest}.sock"

    def start(self) -> Running:
        """Start the manager, with nothing to manage yet.

        Raises:
            ServiceError: It does not answer.
        """
        for spec in self._specs.glob("*.json"):
            spec.unlink()
        self._specs.mkdir(mode=0o700, exist_ok=True)
        self._write_config([])
        self._socket.unlink(missing_ok=True)
        child = subprocess.Popen(
            [sys.executable, "-m", "supervisor.supervisord", "-c", str(self._config)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | {MARK: self._secrets["stack_mark"]},
            start_new_session=True,
        )
        manager = Running(child.pid, psutil.Process(child.pid).create_time(), {})
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with suppress(OSError, Fault), self._call() as rpc:
                rpc.getState()
                return manager
            if child.poll() is not None:
                break
            time.sleep(0.05)
        child.kill()
        child.wait()
        raise ServiceError(
            f"The process manager does not start.\n{tail(self._home.logs / 'supervisor.log')}"
        )

    def changed(self, service: Service, ports: dict[str, int]) -> bool:
        """Whether the service was started differently from what is wanted now."""
        wanted = self._description(service, ports)
        known = read_json(self._spec(service.name), default={})
        return any(known.get(name) != wanted[name] for name in ("arguments", "environment"))

    def launch(self, service: Service, ports: dict[str, int]) -> None:
        """Start a service, or start it anew; it is not waited for."""
        self.halt(service.name)
        write_private(
            self._spec(service.name), json.dumps(self._description(service, ports), indent=1)
        )
        log = self._home.logs / f"{service.name}.log"
        log.touch(mode=0o600)
        with self._call() as rpc:
            names = {entry["name"] for entry in rpc.getAllProcessInfo()}
            if service.name not in names:
                self._write_config([*sorted(names), service.name])
                rpc.reloadConfig()
                rpc.addProcessGroup(service.name)
            rpc.startProcess(service.name, False)

    def halt(self, name: str) -> None:
        """Stop a service and wait for its end; one that does not run is fine."""
        with self._call() as rpc, suppress(Fault):
            rpc.stopProcess(name)

    def forget(self, name: str) -> None:
        """Stop a service and manage it no longer."""
        self.halt(name)
        with self._call() as rpc, suppress(Fault):
            rpc.removeProcessGroup(name)
        self._spec(name).unlink(missing_ok=True)

    def programs(self) -> dict[str, Program]:
        """What the manager knows; empty when it does not answer."""
        try:
            with self._call() as rpc:
                return {
                    entry["name"]: Program(entry["statename"], entry["pid"], entry["spawnerr"])
                    for entry in rpc.getAllProcessInfo()
                }
        except (OSError, Fault):
            return {}

    def shutdown(self, manager: Running | None) -> None:
        """Stop everything: in order through the manager, then whatever is left."""
        process = manager.process() if manager else None
        if process:
            with suppress(OSError, Fault), self._call() as rpc:
                rpc.shutdown()
            with suppress(psutil.NoSuchProcess):
                try:
                    process.wait(SHUTDOWN_SECONDS)
                except psutil.TimeoutExpired:
                    process.kill()
        self.sweep()
        for path in (*self._specs.glob("*.json"), self._config, self._socket):
            path.unlink(missing_ok=True)

    def sweep(self) -> None:
        """End every process that carries this home's mark, but for this one and its parents."""
        own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
        left = [process for process in self._marked() if process.pid not in own]
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.terminate()
        _, stubborn = psutil.wait_procs(left, timeout=STOP_SECONDS)
        for process in stubborn:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(stubborn, timeout=STOP_SECONDS)

    def _marked(self) -> Iterator[psutil.Process]:
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                marked = process.environ().get(MARK) == self._secrets["stack_mark"]
                if marked and process.status() != psutil.STATUS_ZOMBIE:
                    yield process

    def _description(self, service: Service, ports: dict[str, int]) -> dict[str, Any]:
        return {
            "arguments": service.command(ports),
            "environment": service.variables(ports) | {MARK: self._secrets["stack_mark"]},
            "inherited": dict(os.environ),
            "directory": str(service.directory or Path.cwd()),
        }

    def _spec(self, name: str) -> Path:
        return self._specs / f"{name}.json"

    def _write_config(self, names: Sequence[str]) -> None:
        shared = {
            "run": _quoted(self._home.run),
            "logs": _quoted(self._home.logs),
            "limit": LOG_LIMIT_BYTES,
        }
        text = MANAGER.format(
            **shared, socket=_quoted(self._socket), password=self._secrets["supervisor"]
        )
        for name in names:
            text += PROGRAM.format(
                **shared,
                name=name,
                python=_quoted(sys.executable),
                launch=_quoted(LAUNCH),
                spec=_quoted(self._spec(name)),
                priority=_priority(name),
                stop=int(STOP_SECONDS),
            )
        write_private(self._config, text)

    @contextmanager
    def _call(self) -> Iterator[Any]:
        from supervisor.xmlrpc import SupervisorTransport

        transport = SupervisorTransport(
            "weekahead", self._secrets["supervisor"], f"unix://{self._socket}"
        )
        with ServerProxy("http://127.0.0.1", transport=transport) as proxy:
            yield proxy.supervisor


def _priority(name: str) -> int:
    """The order of stopping: the highest first, so that nobody loses what it needs."""
    order = ("seaweedfs", "clickhouse", "prefect", "mlflow")
    last = {"worker": 90, "reaper": 91}
    return last.get(name, order.index(name) * 10 if name in order else 50)


def _quoted(path: str | Path) -> str:
    # The configuration's parser takes a percent sign for the start of a variable.
    return str(path).replace("%", "%%")
