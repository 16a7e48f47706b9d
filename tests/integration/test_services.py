"""The embedded services: started, shared, recovered, stopped. Real processes throughout."""

import dataclasses
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem

from catalog.connect import ensure_tables, open_catalog
from deploy.local import LAKE, WAREHOUSE, running
from deploy.local.lifecycle import using
from lakehouse.errors import HomeError, ServiceError, SettingsError
from lakehouse.home import load_secrets, open_home
from tests.homes import alive, eventually, pids, settings_of

HOLD = """
import sys, time
from collections.abc import Callable
from pathlib import Path
from deploy.local import LAKE, WAREHOUSE, running
from deploy.local.lifecycle import using
from lakehouse.settings import load_settings
import signal
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
with running(load_settings(), needs=frozenset({LAKE})) as settings:
    print(settings.catalog.uri, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def hold(home: Path) -> subprocess.Popen[str]:
    """Another command that uses the lake until its standard input closes."""
    command = subprocess.Popen(
        [sys.executable, "-c", HOLD],
        env=os.environ | {"WEEKAHEAD_HOME": str(home)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert command.stdout is not None
    assert command.stdout.readline().startswith("http://127.0.0.1:")
    return command


def end(command: subprocess.Popen[str]) -> None:
    assert command.stdin is not None
    command.stdin.close()
    assert command.wait(30) == 0


def pid_of(home: Path, service: str) -> int:
    return pids(home).get(service, 0)


def test_services_answer_on_loopback_only_and_end_with_the_command(home: Path) -> None:
    with running(settings_of(home)) as settings:
        ensure_tables(open_catalog(settings.catalog, settings.s3))
        pids = [pid_of(home, name) for name in ("seaweedfs", "clickhouse")]
        addresses = {
            connection.laddr.ip
            for pid in pids
            for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
            for connection in process.net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        }
        assert addresses == {"127.0.0.1"}
    assert not any(alive(pid) for pid in pids)


def test_secrets_are_private_and_never_in_the_process_list_or_logs(home: Path) -> None:
    with running(settings_of(home)):
        secrets = load_secrets(open_home(home)).values()
        # Processes of others may end meanwhile, and have no command line then.
        found = [each.info["cmdline"] or [] for each in psutil.process_iter(["cmdline"])]
        lines = "\n".join(" ".join(words) for words in found)
        assert any("weed" in words for words in lines.split())
        assert not any(secret in lines for secret in secrets)
    for path in (home / "config").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert stat.S_IMODE((home / "config").stat().st_mode) == 0o700
    for log in (path for path in (home / "logs").rglob("*") if path.is_file()):
        text = log.read_text(errors="replace")
        assert not any(secret in text for secret in secrets), log


def test_a_second_command_joins_and_the_last_one_stops(home: Path) -> None:
    first = hold(home)
    pid = pid_of(home, "seaweedfs")
    second = hold(home)
    assert pid_of(home, "seaweedfs") == pid
    end(first)
    assert alive(pid)
    with running(settings_of(home), needs=frozenset({LAKE})) as settings:
        open_catalog(settings.catalog, settings.s3)
    assert alive(pid)
    end(second)
    assert not alive(pid)


def test_many_commands_at_once_share_one_process(home: Path) -> None:
    commands = [
        subprocess.Popen(
            [sys.executable, "-c", HOLD],
            env=os.environ | {"WEEKAHEAD_HOME": str(home)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    answers = {command.stdout.readline() for command in commands if command.stdout}
    assert len(answers) == 1
    pid = pid_of(home, "seaweedfs")
    for command in commands:
        end(command)
    assert not alive(pid)


def test_sigterm_stops_the_services_too(home: Path) -> None:
    command = hold(home)
    pid = pid_of(home, "seaweedfs")
    command.send_signal(signal.SIGTERM)
    assert command.wait(30) == 0
    assert not alive(pid)


def test_a_killed_command_leaves_services_that_the_next_one_joins_and_stops(home: Path) -> None:
    command = hold(home)
    pid = pid_of(home, "seaweedfs")
    command.kill()
    command.wait()
    assert alive(pid)
    with running(settings_of(home), needs=frozenset({LAKE})):
        assert pid_of(home, "seaweedfs") == pid
    assert not alive(pid)


def test_services_of_a_killed_command_end_by_themselves(home: Path) -> None:
    command = hold(home)
    pid = pid_of(home, "seaweedfs")
    command.kill()
    command.wait()
    eventually(lambda: not alive(pid), 30)


def test_a_crashed_service_comes_back_by_itself(home: Path) -> None:
    with running(settings_of(home), needs=frozenset({LAKE})) as settings:
        pid = pid_of(home, "seaweedfs")
        psutil.Process(pid).kill()
        eventually(lambda: pid_of(home, "seaweedfs") not in (0, pid), 30)
        with running(settings_of(home), needs=frozenset({LAKE})):
            open_catalog(settings.catalog, settings.s3)


def test_a_killed_service_is_replaced_and_has_its_data(home: Path) -> None:
    with running(settings_of(home), needs=frozenset({LAKE})) as settings:
        ensure_tables(open_catalog(settings.catalog, settings.s3))
        psutil.Process(pid_of(home, "seaweedfs")).kill()
    with running(settings_of(home), needs=frozenset({LAKE})) as again:
        assert ("raw", "quotes") in open_catalog(again.catalog, again.s3).list_tables("raw")


def test_objects_can_be_read_at_once_when_the_lake_has_started_on_a_busy_machine(
    home: Path,
) -> None:
    """The volumes' server may be seconds late in telling the master what it has."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(6)]
    try:
        for start in range(6):
            with running(settings_of(home), needs=frozenset({LAKE})) as settings:
                objects = S3FileSystem(
                    access_key=settings.s3.access_key,
                    secret_key=settings.s3.secret_key.get_secret_value(),
                    endpoint_override=settings.s3.endpoint,
                    region=settings.s3.region,
                    # The client's own patience would hide the fault now and then.
                    retry_strategy=AwsStandardS3RetryStrategy(max_attempts=1),
                )
                path = f"{settings.s3.artifacts_bucket}/kept"
                if start == 0:
                    with objects.open_output_stream(path) as stream:
                        stream.write(b"kept")
                with objects.open_input_stream(path) as stream:
                    assert stream.read() == b"kept"
    finally:
        for process in busy:
            process.kill()
            process.wait()


def test_a_service_that_hangs_is_replaced(home: Path) -> None:
    command = hold(home)
    pid = pid_of(home, "seaweedfs")
    command.kill()
    command.wait()
    psutil.Process(pid).suspend()
    with running(settings_of(home), needs=frozenset({LAKE})) as settings:
        assert pid_of(home, "seaweedfs") != pid
        open_catalog(settings.catalog, settings.s3)
    assert not alive(pid)


def test_a_service_in_use_that_hangs_is_left_to_its_user(home: Path) -> None:
    command = hold(home)
    process = psutil.Process(pid_of(home, "seaweedfs"))
    process.suspend()
    try:
        with (
            pytest.raises(ServiceError, match=r"does not answer, and another weekahead command"),
            running(settings_of(home), needs=frozenset({LAKE})),
        ):
            raise AssertionError("it must not get here")
    finally:
        process.resume()
    end(command)


def test_a_taken_port_is_named_with_its_owner(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        wanted = settings_of(home, services={"s3_port": port})
        match = rf"Port {port} of seaweedfs \(s3\) is taken by .*\(process {os.getpid()}\)"
        with pytest.raises(ServiceError, match=match), running(wanted):
            raise AssertionError("it must not get here")


def test_a_service_that_does_not_start_shows_the_end_of_its_log(home: Path) -> None:
    data = home / "data" / "seaweedfs"
    data.mkdir(parents=True)
    (data / "filerldb2").write_text("not a directory")
    with (
        pytest.raises(ServiceError, match=r"(?s)seaweedfs does not start.*The end of .*filerldb2"),
        running(settings_of(home), needs=frozenset({LAKE})),
    ):
        raise AssertionError("it must not get here")


def test_an_exception_inside_stops_the_services(home: Path) -> None:
    with pytest.raises(RuntimeError), running(settings_of(home), needs=frozenset({LAKE})):
        pid = pid_of(home, "seaweedfs")
        raise RuntimeError
    assert not alive(pid)


def test_an_unusable_home_is_one_clear_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HomeError, match=r"cannot be written.*WEEKAHEAD_HOME"):
        open_home(tmp_path / "file" / "home")
    with pytest.raises(HomeError, match=r"MB are free on the disk"):
        open_home(tmp_path / "home", min_free_mb=10**9)


def test_damaged_secrets_are_named(home: Path) -> None:
    opened = open_home(home)
    load_secrets(opened)
    (home / "config" / "secrets.json").write_text("{")
    with pytest.raises(HomeError, match=r"secrets\.json is damaged"):
        load_secrets(opened)


def test_half_an_address_pair_is_refused(home: Path) -> None:
    half = settings_of(home, catalog={"uri": "http://127.0.0.1:1"})
    with pytest.raises(SettingsError, match="belong together"), running(half):
        raise AssertionError("it must not get here")


def test_what_has_an_address_is_not_started(home: Path) -> None:
    elsewhere = settings_of(
        home,
        catalog={"uri": "http://127.0.0.1:1"},
        s3={"endpoint": "http://127.0.0.1:2"},
        clickhouse={"url": "http://127.0.0.1:3"},
    )
    started = time.monotonic()
    with running(elsewhere) as settings:
        assert settings.clickhouse.url == "http://127.0.0.1:3"
    assert not (home / "run" / "supervisor.conf").exists()
    assert time.monotonic() - started < 20


def test_another_server_on_the_chosen_port_is_not_taken_for_ours(
    home: Path, tmp_path: Path
) -> None:
    """Between the choice of a port and its use, a server that answers all requests takes it."""
    stranger = subprocess.Popen(
        [sys.executable, "-m", "http.server", "0", "--bind=127.0.0.1", f"--directory={tmp_path}"]
    )
    try:
        process = psutil.Process(stranger.pid)
        eventually(lambda: bool(process.net_connections()), 30)
        taken = process.net_connections()[0].laddr.port
        (tmp_path / "ping").write_text("Ok.\n")
        chosen = iter([{"clickhouse": {"http": taken}}])

        with using(settings_of(home)) as (stack, _):
            (clickhouse,) = stack.lake_and_warehouse(frozenset({WAREHOUSE}))

            def claim(ports: dict[str, int]) -> list[str]:
                """The first start gets the port that another program has taken meanwhile."""
                first = next(chosen, None)
                if first:
                    stack.save(ports=first)
                return clickhouse.command(first["clickhouse"] if first else ports)

            stack.ensure([dataclasses.replace(clickhouse, command=claim)])
            assert stack.state.ports["clickhouse"]["http"] != taken
    finally:
        stranger.kill()
        stranger.wait()
