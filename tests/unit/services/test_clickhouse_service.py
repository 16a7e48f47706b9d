"""Which ClickHouse is started, and with what configuration."""

import os
from pathlib import Path
from xml.etree import ElementTree

import pytest

from deploy.local import clickhouse
from lakehouse.home import load_secrets, open_home
from lakehouse.settings import Settings


def describe(home_path: Path) -> tuple[list[str], dict[str, str]]:
    home = open_home(home_path)
    settings = Settings(home=home_path, _env_file=None)  # type: ignore[call-arg]
    service = clickhouse.service(settings, home, load_secrets(home))
    assert service.prepare is not None
    service.prepare({"http": 8123})
    return service.command({"http": 8123}), service.environment


def test_chdb_serves_where_there_is_no_clickhouse_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    command, environment = describe(tmp_path / "home")
    assert command[1:3] == ["-m", "deploy.chserver"]
    assert environment == {}


def test_a_clickhouse_program_on_the_path_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "clickhouse"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/usr/bin")
    command, environment = describe(tmp_path / "home")
    config = tmp_path / "home" / "config" / "clickhouse"
    assert command == [str(program), "server", f"--config-file={config / 'config.xml'}"]
    root = ElementTree.parse(config / "config.xml").getroot()
    assert root.findtext("listen_host") == "127.0.0.1"
    assert root.findtext("http_port") == "8123"
    for path in ("users.xml", "config.d/server.xml", "users.d/users.xml", "users.d/access.xml"):
        ElementTree.parse(config / path)
    users = (config / "users.d/users.xml").read_text()
    assert all(name in users for name in environment)
    assert len(environment) == 3
