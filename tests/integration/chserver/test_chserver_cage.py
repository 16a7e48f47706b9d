"""What the kernel refuses: admin's statements, which no guard judges, try to leave the cage."""

import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from deploy.chserver import cage

CANARY = "canary-9b74c9"
pytestmark = pytest.mark.skipif(
    cage._abi() < 4, reason="this kernel's Landlock does not confine files and connections"
)


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("outside")
    (folder / "secret.txt").write_text(CANARY)
    return folder


def test_files_outside_are_neither_read_nor_written(server: Any, outside: Path) -> None:
    link = server.data / "engine" / "link.txt"
    link.unlink(missing_ok=True)
    link.symlink_to(outside / "secret.txt")
    pid = server.process.pid
    places = [
        *(outside / "secret.txt", link, server.users, "/etc/passwd", "/etc/shadow"),
        *("/proc/self/environ", f"/proc/{pid}/environ", f"/proc/{os.getpid()}/environ"),
        *(f"/proc/{os.getppid()}/environ", "/proc/1/environ", "/proc/self/cmdline"),
        *("/proc/self/root/etc/passwd", f"/proc/{os.getpid()}/root/etc/passwd"),
        *(f"/proc/self/cwd/{Path(__file__).name}", Path(__file__), Path.cwd() / "pyproject.toml"),
        *(Path.home() / ".bashrc", "/proc/self/mem", "/dev/mem", "/root/.profile"),
    ]
    for place in places:
        for sql in (
            f"SELECT file('{place}')",
            f"SELECT * FROM file('{place}', 'LineAsString', 'x String')",
            "SELECT * FROM values('a UInt8, x String ALIAS file(''" + str(place) + "'')', 1)",
        ):
            answer = server.query(sql)
            assert CANARY not in answer.text and (answer.status >= 400 or not answer.text), sql
    link.unlink()
    for glob in ("/proc/*/environ", "/home/**", f"{outside}/*", "/etc/*"):
        assert server.query(f"SELECT * FROM file('{glob}', 'LineAsString', 'x String')").body == b""
    code = r"a\nimport os; os.system(\"id\") #"
    for sql in (
        f"INSERT INTO FUNCTION file('{outside}/new.txt', 'CSV', 'x String') SELECT 'x'",
        f"SELECT CAST(1, 'Enum8(\\'{code}\\' = 1)') AS x FORMAT Protobuf "
        f"SETTINGS output_format_schema = '{outside}/evil.pth'",
        f"BACKUP DATABASE marts TO File('{outside}/backup.zip')",
        f"CREATE DATABASE evil ENGINE = SQLite('{outside}/evil.sqlite')",
    ):
        assert server.query(sql).status >= 400, sql
    assert [path.name for path in outside.iterdir()] == ["secret.txt"]


@pytest.fixture
def web() -> Iterator[int]:
    """A server on loopback that answers everything with the canary."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(CANARY)))
            self.end_headers()
            self.wfile.write(CANARY.encode())

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running.server_address[1]
        running.shutdown()


def test_connections_only_to_the_ports_that_were_given(
    server: Any, start_server: Any, web: int
) -> None:
    once = "SETTINGS http_max_tries = 1"
    sql = f"SELECT * FROM url('http://127.0.0.1:{web}/', 'LineAsString', 'x String') {once}"
    refused = server.query(sql)
    assert refused.status >= 400 and "Permission denied" in refused.text
    allowed = start_server("--connect-port", "443", "--connect-port", str(web))
    assert allowed.ok(sql) == f"{CANARY}\n"
    own = f"SELECT * FROM url('http://127.0.0.1:{allowed.port}/ping', 'CSV', 'x String') {once}"
    assert "Permission denied" in allowed.query(own).text


def test_the_state_of_the_cage_can_be_asked_for(server: Any) -> None:
    answer = server.query(method="GET")
    assert answer.status == 200
    import urllib.request

    base = f"http://127.0.0.1:{server.port}"
    with urllib.request.urlopen(f"{base}/ping") as ping:
        assert ping.headers["X-Confined"] == "files, network"
    with urllib.request.urlopen(f"{base}/metrics") as page:
        text = page.read().decode()
    assert "chserver_confined_files 1" in text and "chserver_confined_network 1" in text


# Makes Landlock's own system calls fail as on a kernel without it, then starts the server.
WITHOUT_LANDLOCK = """
import sys
from deploy.chserver import cage
cage._abi = lambda: 0
from deploy.chserver.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_kernel_without_landlock_is_said_so(tmp_path: Path, users_file: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WITHOUT_LANDLOCK, "--data", str(tmp_path / "data"), "--port", "0",
         "--users", str(users_file)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout and process.stderr
    assert process.stdout.readline().startswith("listening on")
    process.terminate()
    assert process.wait(30) == 0
    assert "warning: this kernel" in process.stderr.read()
    assert "not fully confined" in (tmp_path / "data" / "logs" / "chserver.log").read_text()


def test_the_environment_holds_no_secret(server: Any) -> None:
    """The server was started with one; neither its SQL nor a process of its user finds it."""
    pid = server.process.pid
    assert "Permission denied" in server.query("SELECT file('/proc/self/environ')").text
    for place in ("self/task/*", f"self/task/{pid}", f"{pid}/task/*", "thread-self"):
        sql = f"SELECT * FROM file('/proc/{place}/environ', 'RawBLOB', 'x String')"
        assert "canary-of-the-environment" not in server.query(sql).text
    assert "SOME_PASSWORD" not in psutil.Process(pid).environ()
    # What the interpreter loads late stays readable, wherever its environment is.
    assert server.query("SELECT 1 AS x FORMAT Parquet", "reader").body.startswith(b"PAR1")
