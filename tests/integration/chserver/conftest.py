"""The embedded ClickHouse server as its own process, started through its command line."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client

from deploy.chserver.auth import hash_password

PASSWORDS = {"admin": "admin's pä:ss", "writer": "writer-secret", "reader": "reader-secret"}


@dataclass
class Answer:
    """An HTTP response read to its end."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def code(self) -> int:
        """ClickHouse's error code, 0 if none."""
        return int(self.headers.get("X-ClickHouse-Exception-Code", "0"))


@dataclass
class ServerProcess:
    """A running server, and how to talk to it as each of its users."""

    data: Path
    users: Path
    process: subprocess.Popen[str]
    port: int
    passwords: dict[str, str] = field(default_factory=lambda: dict(PASSWORDS))

    def query(
        self,
        sql: str | bytes = "",
        user: str = "admin",
        *,
        method: str = "POST",
        headers: dict[str, str] | None = None,
        timeout: float = 60,
        **params: str,
    ) -> Answer:
        """Send one request on a connection of its own."""
        from urllib.parse import urlencode

        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        body = sql.encode() if isinstance(sql, str) else sql
        connection.request(
            method,
            "/" + ("?" + urlencode(params) if params else ""),
            body=body or None,
            headers={
                "X-ClickHouse-User": user,
                "X-ClickHouse-Key": self.passwords.get(user, "").encode().decode("latin-1"),
                **(headers or {}),
            },
        )
        response = connection.getresponse()
        try:
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def ok(self, sql: str | bytes, user: str = "admin", **params: str) -> str:
        """Run a statement that must succeed; return its result."""
        answer = self.query(sql, user, **params)
        assert answer.status == 200, answer.text
        return answer.text

    def client(self, user: str = "admin", **options: object) -> Client:
        return clickhouse_connect.get_client(
            host="127.0.0.1",
            port=self.port,
            username=user,
            password=self.passwords[user],
            **options,  # type: ignore[arg-type]
        )

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


StartServer = Callable[..., ServerProcess]


def write_users(path: Path) -> Path:
    users = {
        name: {"password_hash": hash_password(password), "role": name}
        for name, password in PASSWORDS.items()
    }
    # A second account of the same role: sessions and queries are each user's own.
    users["reader2"] = {"password_hash": hash_password("reader2-secret"), "role": "reader"}
    path.write_text(json.dumps(users))
    path.chmod(0o600)
    return path


def start(data: Path, users: Path, *options: str) -> ServerProcess:
    """Start the server on a free port and wait until it answers."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "deploy.chserver"),
            *("--data", str(data), "--port", "0", "--users", str(users)),
            *options,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "SOME_PASSWORD": "canary-of-the-environment"},
    )
    assert process.stdout is not None and process.stderr is not None
    port = 0
    deadline = time.monotonic() + 60
    while not port and time.monotonic() < deadline:
        line = process.stdout.readline()
        if not line:
            raise AssertionError(f"the server ended with {process.wait()}: {process.stderr.read()}")
        if line.startswith("listening on"):
            port = int(line.split(",")[0].rsplit(":", 1)[1])
    passwords = {**PASSWORDS, "reader2": "reader2-secret"}
    return ServerProcess(data, users, process, port, passwords)


def own_python(request: pytest.FixtureRequest, name: str, *packages: str) -> Path:
    """An environment of its own, made once and kept under pytest's cache directory."""
    home = Path(request.config.cache.mkdir(name))  # type: ignore[union-attr]
    python = home / "venv" / "bin" / "python"
    if not (home / "complete").exists():
        uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
        environment = {k: v for k, v in os.environ.items() if k != "VIRTUAL_ENV"}
        for arguments in (
            ["venv", "--quiet", "--clear", "--python", sys.executable, str(home / "venv")],
            ["pip", "install", "--quiet", "--python", str(python), *packages],
        ):
            subprocess.run([uv, *arguments], check=True, timeout=300, env=environment)
        (home / "complete").touch()
    return python


@pytest.fixture(scope="session")
def users_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_users(tmp_path_factory.mktemp("users") / "users.json")


@pytest.fixture
def start_server(tmp_path: Path, users_file: Path) -> Iterator[StartServer]:
    """Start servers of one's own; whatever still runs at the end is killed."""
    started: list[ServerProcess] = []

    def run(*options: str, data: Path | None = None) -> ServerProcess:
        started.append(start(data or tmp_path / "data", users_file, *options))
        return started[-1]

    yield run
    for server in started:
        if server.process.poll() is None:
            server.kill()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, users_file: Path) -> Iterator[ServerProcess]:
    """One server for all tests that leave it as they found it, with a small table to read."""
    running = start(tmp_path_factory.mktemp("chserver") / "data", users_file)
    for database in ("staging", "intermediate", "marts", "lake"):
        running.ok(f"CREATE DATABASE {database}")
    running.ok(
        "CREATE TABLE marts.prices (symbol String, close Float64) ENGINE MergeTree ORDER BY symbol"
    )
    running.ok("INSERT INTO marts.prices VALUES ('AAPL', 1.5), ('MSFT', 2.5)")
    running.ok("CREATE TABLE lake.quotes (symbol String) ENGINE MergeTree ORDER BY symbol")
    running.ok("INSERT INTO lake.quotes VALUES ('AAPL')")
    running.ok("CREATE TABLE staging.secret (value String) ENGINE MergeTree ORDER BY value")
    yield running
    assert running.stop() == 0
