"""Homes that tests start from, and commands on them, as a person gives them."""

import json
import os
import random
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from deploy.local.lifecycle import PARTS
from deploy.local.manager import Manager, with_mark
from deploy.local.service import is_free
from deploy.local.state import load_state
from lakehouse.home import load_secrets, open_home
from lakehouse.locks import exclusive
from lakehouse.settings import Settings

WEEKAHEAD = Path(sys.executable).parent / "weekahead"


def settings_of(home: Path, **sections: object) -> Settings:
    """Settings of a home, independent of the developer's own files."""
    return Settings(home=home, _env_file=None, **sections)  # type: ignore[call-arg, arg-type]


def start(home: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Start a command on a home."""
    return subprocess.Popen(
        [WEEKAHEAD, *arguments],
        env=os.environ | {"WEEKAHEAD_HOME": str(home)} | environment,
        cwd=home.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def call(
    home: Path, *arguments: str, code: int = 0, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, and check its exit code and that there is no traceback."""
    command = start(home, *arguments, **environment)
    out, err = command.communicate(timeout=500)
    assert command.returncode == code, f"{command.returncode}\n{out}\n{err}"
    assert "Traceback" not in err, err
    return subprocess.CompletedProcess(arguments, code, out, err)


def prepared(folder: Path, make: Callable[[Path], None]) -> Path:
    """A home that is built once and shared by all test processes.

    Args:
        folder: Its path, the same for all processes.
        make: Fills the folder.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with exclusive(folder.with_suffix(".lock")):
        done = folder.with_suffix(".done")
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            make(folder)
            done.touch()
    return folder


def copied(template: Path, home: Path) -> Path:
    """A copy of a home on which nothing runs, with ports of its own."""
    shutil.copytree(
        template, home, symlinks=True, ignore=shutil.ignore_patterns("*.sock", "*.lock")
    )
    opened = open_home(home)
    state = load_state(opened)
    # Another copy would take a port of this one while a test has its service killed.
    free = (port for port in random.sample(range(10_000, 30_000), 1000) if is_free(port))
    known = {"prefect": {"api": 0}, "mlflow": {"http": 0}} | state.ports
    ports = {name: {port: next(free) for port in names} for name, names in known.items()}
    replace(state, ports=ports).save(opened)
    return home


def shared_environment(home: Path, name: str, templates: Path) -> None:
    """Give a home Airflow's or Superset's environment, installed once for all homes."""
    part = PARTS[name]
    template = prepared(templates / name / "home", lambda path: part.install(open_home(path)))
    (home / "env").mkdir(mode=0o700, exist_ok=True)
    (home / "env" / name).symlink_to(template / "env" / name)


def make_run(home: Path) -> None:
    """Run ``weekahead run`` on a fresh home, and store its result in ``result.json``."""
    home.parent.mkdir(parents=True, exist_ok=True)
    with outside(log := home.parent / f"{home.name}.outside") as environment:
        (result := home.parent / "result.json").write_text(
            call(home, "run", "--json", **environment).stdout
        )
    result.replace(home / "result.json")
    log.replace(home / "outside.log")


@contextmanager
def outside(log: Path) -> Iterator[dict[str, str]]:
    """Record every attempt to reach another machine, by Python or through a proxy.

    Args:
        log: Gets one line per attempt; stays empty without any.

    Yields:
        Environment variables for the commands to watch.
    """
    log.touch()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                with client, suppress(OSError), log.open("a") as file:
                    client.settimeout(2)
                    file.write(client.recv(4096).decode("latin-1").partition("\r\n")[0] + "\n")

        threading.Thread(target=serve, daemon=True).start()
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        here = "127.0.0.1,localhost"
        yield {
            **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), address),
            **dict.fromkeys(("NO_PROXY", "no_proxy"), here),
            "PYTHONPATH": str(Path(__file__).with_name("watch")),
            "WATCH_CONNECTIONS": str(log),
        }


def result_of(home: Path) -> dict[str, Any]:
    """The result of the run that a home was prepared with."""
    result: dict[str, Any] = json.loads((home / "result.json").read_text())
    return result


def pids(home: Path) -> dict[str, int]:
    """Processes of a home's services, by name."""
    opened = open_home(home)
    programs = Manager(opened, load_secrets(opened)).programs()
    return {name: program.pid for name, program in programs.items() if program.pid}


def alive(pid: int) -> bool:
    """Whether the process runs; zombies do not count."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def marked(home: Path) -> list[psutil.Process]:
    """Every live process of this home's services."""
    opened = open_home(home)
    return list(with_mark(Manager(opened, load_secrets(opened)).mark))


def eventually(happens: Callable[[], Any], within: float) -> float:
    """Wait until a condition holds; returns the seconds it took."""
    started = time.monotonic()
    while not happens():
        assert time.monotonic() - started < within, "it did not happen in time"
        time.sleep(0.2)
    return time.monotonic() - started
