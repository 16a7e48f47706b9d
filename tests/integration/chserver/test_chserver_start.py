"""Starting, stopping, and what stands in the way of either."""

import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.homes import eventually


def refused(*options: str) -> str:
    """Run the server with options under which it must not start; return its one line."""
    done = subprocess.run(
        [sys.executable, "-m", "deploy.chserver", *options],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode != 0
    assert done.stderr.startswith("chserver: ") and done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def at_work(server: Any) -> bool:
    """Whether the engine works on something else than this question."""
    return int(server.ok("SELECT count() FROM system.processes")) > 1


def accepts(server: Any) -> bool:
    try:
        server.query("SELECT 1")
    except OSError:
        return False
    return True


def test_taken_port(tmp_path: Path, users_file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        message = refused("--data", str(tmp_path), "--users", str(users_file), "--port", port)
    assert f"127.0.0.1:{port}" in message and "another --port" in message


def test_data_directory_of_another_process(start_server: Any, users_file: Path) -> None:
    server = start_server()
    message = refused("--data", str(server.data), "--users", str(users_file), "--port", "0")
    assert f"in use by process {server.process.pid}" in message
    assert server.ok("SELECT 1") == "1\n"


@pytest.mark.parametrize("place", ["file", "proc"])
def test_data_directory_that_cannot_be_written(
    tmp_path: Path, users_file: Path, place: str
) -> None:
    blocker = tmp_path / "blocker"
    blocker.write_text("")
    data = blocker / "data" if place == "file" else Path("/proc/weekahead")
    message = refused("--data", str(data), "--users", str(users_file), "--port", "0")
    assert f"cannot write in the data directory {data}" in message


@pytest.mark.parametrize(
    ("content", "mode", "expected"),
    [
        ("{}", 0o600, "at least one user"),
        ("not json", 0o600, "cannot read the users file"),
        ('{"a": {"password_hash": "plain", "role": "admin"}}', 0o600, "hash_password()"),
        ('{"a": {"password_hash": "scrypt$1", "role": "root"}}', 0o600, "role must be one of"),
        ('{"a": {"role": "admin"}}', 0o600, "no password_hash"),
        ("{}", 0o644, "chmod 600"),
    ],
)
def test_unusable_users_file(tmp_path: Path, content: str, mode: int, expected: str) -> None:
    users = tmp_path / "users.json"
    users.write_text(content)
    users.chmod(mode)
    message = refused("--data", str(tmp_path / "data"), "--users", str(users), "--port", "0")
    assert expected in message


def test_starts_fast_small_and_private(start_server: Any) -> None:
    before = time.monotonic()
    server = start_server()
    assert server.ok("SELECT 1") == "1\n"
    # Well under a second on an idle machine; the tests share theirs.
    assert time.monotonic() - before < 10
    assert psutil.Process(server.process.pid).memory_info().rss < 450 * 1024**2
    assert stat.S_IMODE(server.data.stat().st_mode) == 0o700
    listening = [
        c.laddr
        for c in psutil.Process(server.process.pid).net_connections()
        if c.status == "LISTEN"
    ]
    assert [(address.ip, address.port) for address in listening] == [("127.0.0.1", server.port)]
    connections = psutil.Process(server.process.pid).net_connections("inet")
    assert all(c.laddr.ip == "127.0.0.1" for c in connections)


def test_sigterm_lets_running_queries_end_and_takes_no_new_ones(start_server: Any) -> None:
    server = start_server()
    answers: list[str] = []
    slow = threading.Thread(
        target=lambda: answers.append(server.ok("SELECT sleep(3), 7 FORMAT TSV"))
    )
    slow.start()
    eventually(lambda: at_work(server), within=30)
    server.process.terminate()
    eventually(lambda: not accepts(server), within=30)
    assert not answers
    slow.join()
    assert answers == ["0\t7\n"]
    assert server.process.wait(20) == 0


def test_sigterm_cancels_what_does_not_end(start_server: Any) -> None:
    server = start_server("--drain-seconds", "1")
    answers: list[Any] = []
    slow = threading.Thread(
        target=lambda: answers.append(server.query("SELECT count() FROM numbers(1000000000000)"))
    )
    slow.start()
    eventually(lambda: at_work(server), within=30)
    before = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - before < 20
    slow.join()
    assert answers[0].code == 394


def test_restart_after_kill_keeps_data_and_lake_definitions(start_server: Any) -> None:
    server = start_server()
    server.ok("CREATE DATABASE marts")
    server.ok("CREATE TABLE marts.t (x Int32) ENGINE MergeTree ORDER BY x")
    server.ok("INSERT INTO marts.t VALUES (1), (2)")
    server.kill()
    again = start_server(data=server.data)
    assert again.ok("SELECT sum(x) FROM marts.t", "reader") == "3\n"
    assert again.stop() == 0
    third = start_server(data=server.data)
    assert third.ok("SELECT sum(x) FROM marts.t", "reader") == "3\n"


def test_no_secret_in_logs(start_server: Any) -> None:
    server = start_server()
    server.ok("SELECT 'tell-nobody' FORMAT Null", param_p="quiet-parameter")
    server.query("SELECT 1", user="admin", headers={"X-ClickHouse-Key": "wrong-password"})
    server.query("SELECT 1", "", headers={}, method="POST", user_="x", password="in-the-address")
    server.query("SELECT broken('half-a-statement'")
    server.query("half_a_word 1")
    server.query(
        "SELECT * FROM s3('http://127.0.0.1:1/b/k', 'key', 'in-a-function', 'CSV', 'a Int8')"
    )
    assert server.stop() == 0
    logs = b"".join(path.read_bytes() for path in (server.data / "logs").iterdir())
    assert b'"kind": "SELECT"' in logs and b'"code": 516' in logs
    for secret in (
        *(b"tell-nobody", b"quiet-parameter", b"wrong-password", b"in-the-address"),
        *(b"half-a-statement", b"half_a_word", b"HALF_A_WORD", b"in-a-function"),
    ):
        assert secret not in logs
    assert not [p for p in server.data.rglob("*.log") if p.stat().st_mode & 0o077]
