"""Each way of running works from the state that another way has left."""

import json
import random
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from datetime import date
from pathlib import Path

import psutil
import pytest
from uv import find_uv_bin

from deploy.local import LAKE, running
from deploy.local.manager import SHUTDOWN_SECONDS
from deploy.local.service import choose_ports
from deploy.local.state import load_state
from lakehouse.connections.clickhouse_client import connect
from lakehouse.home import open_home
from lakehouse.settings.forecast import ForecastSettings
from tests.documented import run, to_run
from tests.homes import (
    alive,
    call,
    copied,
    eventually,
    marked,
    prepared,
    result_of,
    settings_of,
    start,
)
from tests.quotes import yahoo

ROOT = Path(__file__).parents[2]
# Unlike elsewhere in the tests, a training is as people have it.
AS_SHIPPED = {"WEEKAHEAD_FORECAST__FOLDS": str(ForecastSettings.model_fields["folds"].default)}


def test_the_tutorial_from_an_empty_folder_to_a_scheduled_forecast(tmp_path: Path) -> None:
    """``up`` first, then a worker, then commands; its last block stops the services."""
    home = tmp_path / ".weekahead"
    first, *others, last = to_run("docs/tutorial.md")
    with yahoo(("AAPL", "IBM", "MSFT"), date(2015, 1, 2)) as base_url:
        run(first, tmp_path)
        settings = tmp_path / "weekahead.toml"
        settings.write_text(
            settings.read_text().replace("[yahoo]", f'[yahoo]\nbase_url = "{base_url}"')
        )
        try:
            shown = "\n".join(run(block, tmp_path, **AS_SHIPPED) for block in others)
            assert "15 of 15 forecasts are new in the ledger." in shown
            assert "nothing changed since the last training" in shown
            assert "0 of 15 forecasts are new in the ledger." in shown
            assert "forecasts from quotes of your own" in shown
            # A failed symbol is the same failure for a worker as for a command.
            failed = ("ingest", "--symbols", "IBM,NOSUCH")
            here = call(home, *failed, code=1, **AS_SHIPPED)
            there = call(home, *failed, "--remote", code=1, **AS_SHIPPED)
            assert "NOSUCH" in here.stderr
            assert "NOSUCH" in there.stderr
        finally:
            run(last, tmp_path)
    # Without the stack, a command goes on from what the worker has left.
    assert json.loads(call(home, "predict", "--json").stdout)["new"] == 0
    assert not marked(home)


@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_killed_whenever_the_next_command_works(
    tmp_path: Path, run_home: Path, seed: int
) -> None:
    """Five kills each of commands, ``up`` and ``down``, at random moments of their start."""
    home = copied(run_home, tmp_path / "home")
    chance = random.Random(seed)
    for number in range(5):
        arguments = chance.choice([("sql", "select 1"), ("predict",), ("up",), ("down",)])
        command = start(home, *arguments)
        end = chance.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
        try:
            command.wait(chance.uniform(0.3, 12.0 if arguments == ("up",) else 4.0))
        except subprocess.TimeoutExpired:
            command.send_signal(end)
        command.communicate(timeout=120)
        count = ("sql", "select count(*) as bars from raw.quotes", "--format", "csv")
        assert call(home, *count).stdout == "bars\n12154\n", (number, arguments, end)
    call(home, "down")
    assert not marked(home)


def test_services_that_move_to_other_ports_are_found(tmp_path: Path, run_home: Path) -> None:
    home = copied(run_home, tmp_path / "home")
    before = load_state(open_home(home)).ports
    with ExitStack() as taken:
        for service in ("seaweedfs", "clickhouse"):
            for port in before[service].values():
                # Another test's services may have it: they, too, started from that home.
                with suppress(OSError):
                    taken.enter_context(socket.create_server(("127.0.0.1", port)))
        with running(settings_of(home)) as settings, connect(settings) as client:
            after = load_state(open_home(home)).ports
            for service in ("seaweedfs", "clickhouse"):
                assert not set(after[service].values()) & set(before[service].values())
            # These views read the lake where it is now.
            (row,) = client.query("SELECT count() FROM staging.stg_quotes").result_rows
            assert row == (12_154,)
        call(home, "predict")


def test_two_homes_at_once_keep_apart(tmp_path: Path, run_home: Path) -> None:
    homes = [copied(run_home, tmp_path / name / "home") for name in ("one", "two")]
    commands = [start(home, "predict", "--json") for home in homes]
    for command in commands:
        out, err = command.communicate(timeout=200)
        assert command.returncode == 0, err
        assert json.loads(out)["new"] == 0
    with ExitStack() as scope:
        filled = [scope.enter_context(running(settings_of(home))) for home in homes]
        assert len({settings.catalog.uri for settings in filled}) == 2
        # The manager is this process's child here, which has not yet asked how it ended.
        started = time.monotonic()
        call(homes[0], "down")
        assert time.monotonic() - started < SHUTDOWN_SECONDS / 2
        (row,) = connect(filled[1]).query("SELECT count() FROM marts.fct_quotes").result_rows
        assert row == (12_154,)


def test_a_home_of_version_0_1_is_taken_over(tmp_path: Path, run_home: Path) -> None:
    """That version kept ports in two files, and a killed command left processes unknown."""
    home = copied(run_home, tmp_path / "home")
    services = {
        name: dict.fromkeys(ports, 0)
        for name, ports in load_state(open_home(home)).ports.items()
        if name in ("seaweedfs", "clickhouse")
    }
    ports = choose_ports(services, {})
    left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    created = psutil.Process(left.pid).create_time()
    old = {name: {"pid": left.pid, "created": created, "ports": ports[name]} for name in services}
    (home / "run" / "services.json").write_text(json.dumps(old))
    (home / "run" / "local.json").write_text(
        json.dumps({"manager": None, "ports": {"prefect": {"api": 4200}}, "parts": []})
    )
    with running(settings_of(home), needs=frozenset({LAKE})) as settings:
        assert settings.catalog.uri == f"http://127.0.0.1:{ports['seaweedfs']['catalog']}"
    left.wait(10)
    assert not (home / "run" / "services.json").exists()


def test_after_a_killed_manager_commands_bring_their_own_services(
    tmp_path: Path, run_home: Path
) -> None:
    home = copied(run_home, tmp_path / "home")
    with running(settings_of(home), needs=frozenset({LAKE})):
        manager = int((home / "run" / "supervisor.pid").read_text())
        psutil.Process(manager).kill()
        eventually(lambda: not marked(home), 60)
        assert "12154" in call(home, "sql", "select count(*) from raw.quotes").stdout
    assert not alive(manager)
    assert not marked(home)


def make_wheel(folder: Path) -> None:
    """An environment with the built wheel and nothing of the checkout."""
    uv = find_uv_bin()
    folder.mkdir(parents=True)
    quiet = {"check": True, "capture_output": True, "text": True, "cwd": folder}
    subprocess.run([uv, "build", "--wheel", "--out-dir", folder, ROOT], **quiet)  # type: ignore[call-overload]
    export = ("export", "--frozen", "--no-dev", "--no-emit-project", "--no-hashes", "--quiet")
    locked = folder / "locked.txt"
    subprocess.run([uv, *export, f"--project={ROOT}", f"--output-file={locked}"], **quiet)  # type: ignore[call-overload]
    subprocess.run([uv, "venv", f"--python={sys.executable}", folder / "env"], **quiet)  # type: ignore[call-overload]
    (wheel,) = folder.glob("*.whl")
    install = ("pip", "install", f"--python={folder / 'env'}", f"--constraint={locked}")
    subprocess.run([uv, *install, wheel], **quiet)  # type: ignore[call-overload]


def test_the_installed_wheel_does_the_same_outside_the_checkout(
    tmp_path: Path, templates: Path, run_home: Path
) -> None:
    wheel = prepared(templates / "wheel", make_wheel)
    home = copied(run_home, tmp_path / "home")

    def weekahead(*arguments: str) -> str:
        return subprocess.run(
            [wheel / "env" / "bin" / "weekahead", *arguments],
            check=True,
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "WEEKAHEAD_HOME": str(home)},
            timeout=300,
        ).stdout

    expected = result_of(home)
    built = json.loads(weekahead("transform", "--force", "--json"))
    assert built["rows"]["fct_quotes"] == expected["transform"]["rows"]["fct_quotes"]
    weekahead("up")
    try:
        remote = json.loads(weekahead("predict", "--remote", "--json"))
        assert remote["state"] == "Completed"
        assert remote["result"]["new"] == 0
    finally:
        weekahead("down")
    assert not marked(home)
