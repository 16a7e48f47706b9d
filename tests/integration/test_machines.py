"""Machines that differ: proxies, locale, path, time zone, limits, rights of new files, /tmp."""

from __future__ import annotations

import os
import resource
import subprocess
from pathlib import Path

import pytest

from deploy.local import open_files
from deploy.local.seaweedfs import remove_sockets
from lakehouse.errors import ServiceError
from tests.homes import WEEKAHEAD

NOWHERE = "http://127.0.0.1:9"
ODD = {
    **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), NOWHERE),
    **dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), NOWHERE),
    **{"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "TZ": "Pacific/Kiritimati",
}


def test_an_odd_machine(tmp_path: Path) -> None:
    """All at once: a symbol is ingested, the marts are built, and both can be asked."""
    folder = tmp_path / ("d" * 60) / "100%s % done" / ("e" * 55)
    folder.mkdir(parents=True)
    path = f"{WEEKAHEAD.parent}:/usr/bin:/bin"
    environment = ODD | {"PATH": path, "HOME": str(folder), "WEEKAHEAD_HOME": str(folder / "home")}

    def limits() -> None:
        os.umask(0o077)
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        )

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [WEEKAHEAD, *arguments], env=environment, cwd=folder, preexec_fn=limits,
            capture_output=True, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, (done.stdout + done.stderr).decode("utf-8", "replace")
        return done.stdout.decode("utf-8", "replace")

    run("ingest", "--symbols", "IBM", "--start", "2012-06-01")
    run("transform")
    count = "select count(*), min(trade_date), max(trade_date) from raw.quotes"
    assert "187,2012-06-01,2013-03-01" in run("sql", count, "--format", "csv")
    marts = "select count() from marts.fct_quotes"
    assert "187" in run("sql", "--engine", "clickhouse", marts, "--format", "csv")
    assert "fresh" not in run() and "this home has data" in run()
    assert (folder / "home").stat().st_mode & 0o777 == 0o700


def test_too_few_open_files_are_named_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (64, 64))
    with pytest.raises(ServiceError, match=r"only 64 files.*LimitNOFILE"):
        open_files.allow_open_files()


def test_a_read_only_tmp_is_named_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, _: str(path) != "/tmp")
    with pytest.raises(ServiceError, match="--tmpfs /tmp"):
        remove_sockets({})
