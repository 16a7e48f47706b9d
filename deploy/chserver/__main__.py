"""Command line of the embedded ClickHouse server."""

from __future__ import annotations

import argparse
import fcntl
import logging
import logging.handlers
import os
import shutil
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import IO, Final

from deploy.chserver import cage
from deploy.chserver.auth import Users, UsersFileError
from deploy.chserver.errors import ClickHouseError

# The variables that the engine and Python need, and the mark by which the process manager finds
# its processes; other variables may contain secrets.
_ENVIRONMENT: Final = (
    *("PATH", "LANG", "LC_", "TZ", "PYTHON", "LD_LIBRARY_PATH", "WEEKAHEAD_STACK_MARK"),
)


class StartError(Exception):
    """The server cannot start; the message says why and what to do."""


def main(arguments: list[str] | None = None) -> int:
    """Run the server until SIGTERM or SIGINT; returns 0 after a clean stop, 1 on a failed start."""
    options = _parser().parse_args(arguments)
    os.umask(0o077)
    try:
        return _run(options)
    except (StartError, UsersFileError) as error:
        print(f"chserver: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.chserver",
        description="Serve the ClickHouse HTTP interface over chDB.",
    )
    parser.add_argument("--data", type=Path, required=True, help="data directory")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8123, help="port to listen on; 0 picks one")
    parser.add_argument("--users", type=Path, required=True, help="JSON file of users, mode 0600")
    parser.add_argument("--log-dir", type=Path, help="directory of the logs (default: DATA/logs)")
    parser.add_argument(
        "--max-memory", type=int, default=2 * 1024**3, help="memory limit of all queries, bytes"
    )
    parser.add_argument(
        "--memory-setting",
        default="",
        metavar="NAME=GIB",
        help="what the limit follows and its present value, for the message when it is reached",
    )
    parser.add_argument("--max-queries", type=int, default=16, help="queries at the same time")
    parser.add_argument(
        "--queue-seconds", type=float, default=10.0, help="how long a query may wait for its turn"
    )
    parser.add_argument(
        "--connect-port",
        type=int,
        action="append",
        default=[],
        metavar="PORT",
        help="TCP port that the engine may connect to, such as the store's; repeat for more "
        "(default: none)",
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="name that clients use for this server besides localhost and --host; repeat for more",
    )
    parser.add_argument("--drain-seconds", type=float, default=30.0, help="patience at the end")
    return parser


def _run(options: argparse.Namespace) -> int:
    users = Users.load(options.users)
    listener = _listen(options.host, options.port)
    logs = options.log_dir or options.data / "logs"
    with _lock(options.data, logs):
        confined = _enter_cage(options.data, logs, options.connect_port)
        _log_to(logs / "chserver.log")
        if confined.missing:
            logging.getLogger(__name__).warning("not fully confined: %s", confined.missing)
        # The imports take seconds, so everything that can fail fast was checked before.
        from deploy.chserver.engine import Engine
        from deploy.chserver.engine_config import EngineLimits, write_config
        from deploy.chserver.handler import Handler
        from deploy.chserver.hosts import Hosts
        from deploy.chserver.incoming import HandlerLimits
        from deploy.chserver.observe import AccessLog
        from deploy.chserver.server import Server

        limits = EngineLimits(options.max_memory, memory_setting=options.memory_setting)
        config = write_config(options.data.resolve() / "config", logs.resolve(), limits)
        try:
            engine = Engine(options.data.resolve() / "engine", config, limits)
        except ClickHouseError as error:
            raise StartError(f"the engine does not start in {options.data}: {error}") from error
        handler = Handler(
            engine,
            users,
            AccessLog(logs / "access.log"),
            HandlerLimits(queries=options.max_queries, queue_seconds=options.queue_seconds),
            Hosts([options.host, *options.allow_host]),
            confined,
        )
        server = Server(listener, handler, drain_seconds=options.drain_seconds)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: server.stop())
        host, port = listener.getsockname()[:2]
        print(f"listening on http://{host}:{port}, ClickHouse {engine.version}", flush=True)
        server.serve()
        handler.close()
        engine.close()
    if threading.active_count() > 1:
        # A request outlived the drain; its thread must not keep the process.
        os._exit(0)
    return 0


def _listen(host: str, port: int) -> socket.socket:
    """Bind the port early; clients queue until the engine is up."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except (OSError, OverflowError) as error:
        raise StartError(
            f"cannot listen on {host}:{port}: {error}; choose another --port"
        ) from error
    return listener


def _lock(data: Path, logs: Path) -> IO[str]:
    """Create the directories and lock the data directory for this process."""
    try:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        # The engine keeps the lake's credentials in its metadata.
        data.chmod(0o700)
        logs.mkdir(parents=True, exist_ok=True)
        lock = (data / ".lock").open("a+")
        probe = logs / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise StartError(f"cannot write in the data directory {data}: {error}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.seek(0)
        raise StartError(
            f"the data directory {data} is in use by process {lock.read().strip() or '?'}; "
            "stop that one first"
        ) from error
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def _enter_cage(data: Path, logs: Path, ports: list[int]) -> cage.Cage:
    """Confine this process to its own directories; the users file has been read by now."""
    # On import, the engine unpacks files into the directory for temporary files.
    temporary = data.resolve() / "tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(mode=0o700)
        os.environ["TMPDIR"] = str(temporary)
        confined = cage.enter((data.resolve(), logs.resolve()), ports)
    except OSError as error:
        raise StartError(f"cannot confine the engine to {data}: {error}") from error
    if confined.missing:
        print(
            f"chserver: warning: {confined.missing}; only the look at each statement keeps SQL "
            "away from this user's files and network",
            file=sys.stderr,
        )
    return confined


def _log_to(path: Path) -> None:
    handler = logging.handlers.RotatingFileHandler(
        path, maxBytes=10 * 1024**2, backupCount=2, encoding="utf-8"
    )
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


def _forget_environment() -> None:
    """Restart without unneeded environment variables, if there are any.

    A process' initial environment stays readable in /proc while it runs.
    """
    kept = {name: value for name, value in os.environ.items() if name.startswith(_ENVIRONMENT)}
    if kept.keys() != os.environ.keys():
        os.execve(sys.executable, sys.orig_argv, kept)  # noqa: S606 (this program itself)


if __name__ == "__main__":
    _forget_environment()
    sys.exit(main())
