"""``weekahead sql`` in a terminal: the IDE completes, answers, remembers and is read-only."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lakehouse.platform import Platform
from lakehouse.settings import Settings

WEEKAHEAD = Path(sys.executable).parent / "weekahead"
CONTROL = re.compile(r"\x1b(\[[0-9;?>]*[ -/]*[@-~]|\][^\x07]*\x07|P[^\x1b]*\x1b\\|.)")
RUN, QUIT, BACKSPACE, EDITOR = "\n", "\x11", "\x7f", "\x1bOQ"


class Terminal:
    """A pseudo-terminal that types like a person and reads what is drawn."""

    def __init__(self, fd: int, process: "subprocess.Popen[bytes]") -> None:
        self.fd = fd
        self.process = process
        self.drawn = ""

    def type(self, keys: str) -> None:
        os.write(self.fd, keys.encode())

    def shows(self, text: str, seconds: float) -> bool:
        """Read until a text is drawn, or the time is over."""
        end = time.monotonic() + seconds
        seen = b""
        while time.monotonic() < end:
            if select.select([self.fd], [], [], 0.1)[0]:
                seen += os.read(self.fd, 65536)
                # An escape sequence may still be cut in two: the text is looked for in all of it.
                self.drawn = CONTROL.sub("", seen.decode(errors="replace"))
                if text in self.drawn:
                    return True
            assert self.process.poll() is None, self.drawn
        return False

    def until(self, text: str, seconds: float = 90) -> None:
        """Read until a text is drawn."""
        assert self.shows(text, seconds), f"{text!r} does not appear in {self.drawn[-3000:]!r}"

    def write(self, statement: str) -> None:
        """Add a statement in the editor; the focus may be elsewhere, and take time to come."""
        for _ in range(10):
            self.type(EDITOR)
            time.sleep(1)
            self.type(f"; {statement}")
            if self.shows(statement, 10):
                return
        raise AssertionError(f"{statement!r} cannot be typed: {self.drawn[-3000:]!r}")

    def run(self, expected: str) -> None:
        """Run the statement under the cursor, until a text of its answer appears.

        A space closes a list of completions. One that opens late takes the key that runs the
        statement, so all is typed again. Escape would close it as well, but read late, together
        with the next key, it is another key.
        """
        for _ in range(8):
            self.type(" ")
            time.sleep(1)
            self.type(RUN)
            if self.shows(expected, 15):
                return
        raise AssertionError(f"{expected!r} does not appear in {self.drawn[-3000:]!r}")

    def complete(self, separator: str, offer: str) -> None:
        """Type a separator until the list of completions, which loads meanwhile, offers a name."""
        for _ in range(20):
            self.type(separator)
            if self.shows(offer, 4):
                return
            self.type(BACKSPACE)
            time.sleep(1)
        raise AssertionError(f"{offer!r} is not offered: {self.drawn[-3000:]!r}")

    def quit(self) -> int:
        """Leave the IDE, reading what it still draws."""
        self.type(QUIT)
        end = time.monotonic() + 60
        while self.process.poll() is None and time.monotonic() < end:
            # Its end of the terminal is gone when it is.
            with suppress(OSError):
                if select.select([self.fd], [], [], 0.2)[0]:
                    os.read(self.fd, 65536)
        return self.process.wait(timeout=1)


@contextmanager
def terminal(settings: Settings, *arguments: str) -> Iterator[Terminal]:
    """``weekahead sql`` on services that already run."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    process = subprocess.Popen(
        [WEEKAHEAD, "sql", *arguments],
        env=os.environ
        | {"WEEKAHEAD_HOME": str(settings.home), "TERM": "xterm-256color"}
        | {"COLUMNS": "120", "LINES": "40"},
        cwd=settings.home,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        yield Terminal(ours, process)
    finally:
        process.kill()
        process.wait()
        os.close(ours)


@pytest.mark.parametrize(
    ("engine", "table", "offer", "refusal"),
    [
        ("duckdb", "raw.quotes", "raw.calendar t", "read-only"),
        ("clickhouse", "marts.fct_quotes", "marts.dim_symbol t", "Not enough"),
    ],
)
def test_the_ide_answers_and_remembers(
    pipeline: Platform, engine: str, table: str, offer: str, refusal: str
) -> None:
    schema, name = table.split(".")
    with terminal(pipeline.settings, "--engine", engine) as screen:
        screen.until("lake" if engine == "duckdb" else "marts")
        screen.until("Quit")
        screen.write(f"select count(*) + 1 as bars from {schema}")
        screen.complete(".", offer)
        screen.type(name)
        screen.run("12155")
        screen.write(f"drop table {table}")
        screen.run(refusal)
        screen.type(" ")
        time.sleep(1)
        assert screen.quit() == 0
    kept = [path for path in (pipeline.settings.home / "sql").rglob("*") if path.is_file()]
    assert kept
    for path in [pipeline.settings.home / "sql", *kept]:
        assert path.stat().st_mode & 0o077 == 0
    remembered = b"".join(path.read_bytes() for path in kept)
    assert b"count(*) + 1" in remembered
    for secret in (
        pipeline.settings.s3.reader_secret_key,
        pipeline.settings.s3.secret_key,
        pipeline.settings.clickhouse.reader_password,
    ):
        assert secret.get_secret_value().encode() not in remembered


def ask(platform: Platform, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [WEEKAHEAD, "sql", *arguments],
        env=os.environ | {"WEEKAHEAD_HOME": str(platform.settings.home)},
        cwd=platform.settings.home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("engine", "table"), [("duckdb", "raw.quotes"), ("clickhouse", "marts.fct_quotes")]
)
def test_parquet_holds_the_whole_result(
    pipeline: Platform, tmp_path: Path, engine: str, table: str
) -> None:
    path = tmp_path / "bars.parquet"
    statement = f"select symbol, trade_date, close from {table}"
    asked = ask(pipeline, statement, "--engine", engine, "--format", "parquet", "--output", path)
    assert (asked.returncode, asked.stdout) == (0, ""), asked.stderr
    read = pq.read_table(path)
    assert read.num_rows == 12_154
    assert [str(field.type) for field in read.schema] == ["string", "date32[day]", "double"]
    before = path.read_bytes()
    broken = f"select no_such from {table}"
    failed = ask(pipeline, broken, "--engine", engine, "--format", "parquet", "--output", path)
    assert failed.returncode == 2
    assert "no_such" in failed.stderr
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--interactive"], "needs a terminal"),
        (["select 1", "--format", "parquet"], "--output FILE"),
        (["select 1", "--output", "one.txt"], "--format csv"),
        (["select 1", "--format", "csv", "--output", "no/such/one.csv"], "no directory no/such"),
        (["--interactive", "select 1"], "takes no STATEMENT"),
    ],
)
def test_wrong_usage_says_what_to_do(
    pipeline: Platform, arguments: list[str], message: str
) -> None:
    refused = ask(pipeline, *arguments)
    assert refused.returncode == 2
    assert message in refused.stderr
    assert "Traceback" not in refused.stderr
