"""Work that must not run twice at once on a lake, whichever home it is started from."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from catalog.objects import object_store
from lakehouse import lease
from lakehouse.lease import FOLDER
from lakehouse.platform import Platform
from lakehouse.settings import Settings

HOLDER = """
import sys, time
from lakehouse import lease
from lakehouse.platform import Platform
from lakehouse.settings import load_settings
lease.RENEW_SECONDS = 1.0
with Platform(load_settings()).alone(sys.argv[1]):
    print("held", flush=True)
    time.sleep(600)
"""


def homes(lake: Platform, folder: Path) -> tuple[Settings, Settings]:
    first, second = (lake.settings.model_copy(update={"home": folder / name}) for name in "ab")
    return first, second


def objects(lake: Platform) -> list[str]:
    listed = object_store(lake.settings.s3).list_objects_v2(
        Bucket=lake.settings.s3.artifacts_bucket, Prefix=f"{FOLDER}/"
    )
    return [found["Key"] for found in listed.get("Contents", [])]


def held_by_another_process(settings: Settings, stage: str) -> "subprocess.Popen[str]":
    """A process that holds the lease of a stage; it gets its keys as a container does."""
    environment = {
        "WEEKAHEAD_HOME": str(settings.home),
        "WEEKAHEAD_S3__ENDPOINT": str(settings.s3.endpoint),
        "WEEKAHEAD_S3__ACCESS_KEY": settings.s3.access_key,
        "WEEKAHEAD_S3__SECRET_KEY": settings.s3.secret_key.get_secret_value(),
    }
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, stage],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_of_many_homes_one_works_at_a_time(lake: Platform, tmp_path: Path) -> None:
    inside, most, done = 0, 0, 0
    counting = threading.Lock()

    def work(settings: Settings) -> None:
        nonlocal inside, most, done
        with Platform(settings).alone("crowded"):
            with counting:
                inside += 1
                most = max(most, inside)
            time.sleep(0.05)
            with counting:
                inside -= 1
                done += 1

    threads = [
        threading.Thread(
            target=work, args=(lake.settings.model_copy(update={"home": tmp_path / str(number)}),)
        )
        for number in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (most, done) == (1, 5)
    assert objects(lake) == []


def test_who_waits_says_for_whom(
    lake: Platform, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = homes(lake, tmp_path)
    caplog.set_level("INFO", "weekahead")
    entered = threading.Event()

    def wait() -> None:
        with Platform(second).alone("named"):
            entered.set()

    with Platform(first).alone("named"):
        waiter = threading.Thread(target=wait)
        waiter.start()
        assert not entered.wait(2)
    assert entered.wait(20)
    waiter.join(20)
    assert any("another home on this lake (process" in said for said in caplog.messages)


def test_what_a_killed_command_of_this_home_held_is_free_at_once(
    lake: Platform, tmp_path: Path
) -> None:
    home, _ = homes(lake, tmp_path)
    process = held_by_another_process(home, "killed")
    process.kill()
    process.wait(10)
    assert objects(lake) == [f"{FOLDER}/killed.json"]
    started = time.monotonic()
    with Platform(home).alone("killed"):
        assert time.monotonic() - started < lease.EXPIRES_SECONDS / 2
    assert objects(lake) == []


def test_what_a_killed_command_of_another_home_held_expires(
    lake: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = homes(lake, tmp_path)
    process = held_by_another_process(first, "gone")
    monkeypatch.setattr(lease, "EXPIRES_SECONDS", 6.0)
    entered = threading.Event()

    def wait() -> None:
        with Platform(second).alone("gone"):
            entered.set()

    waiter = threading.Thread(target=wait)
    waiter.start()
    # A holder that lives renews its lease in time.
    assert not entered.wait(9)
    process.kill()
    process.wait(10)
    assert entered.wait(60)
    waiter.join(20)
    assert objects(lake) == []
