"""What a newcomer calls first: no argument at all, ``init``, ``open``, ``completion``."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from lakehouse.settings import load_settings
from tests.homes import WEEKAHEAD, call, copied


def test_a_fresh_home_is_not_made_by_looking_at_it(tmp_path: Path) -> None:
    home = tmp_path / "home"
    shown = call(home).stdout
    assert "nothing has run in this home yet" in shown and str(home) in shown
    assert "weekahead run" in shown.split("Next")[1]
    assert not home.exists()


def test_a_home_says_what_serves_and_what_is_next(run_home: Path, tmp_path: Path) -> None:
    home = copied(run_home, tmp_path / "home")
    shown = call(home).stdout
    assert "forecasts from sample quotes" in shown
    assert "version 1 (drift) on sample, until 2013-03-01" in shown
    assert [line.split()[1] for line in shown.splitlines() if "  weekahead" in line] == [
        *("report", "up", "init"),
    ]
    refused = call(home, "open", "dashboards", code=2)
    assert "weekahead up --with superset" in refused.stderr


def test_init_writes_settings_that_a_run_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    refused = call(home, "init", "--source", "yahoo", code=2)
    assert "--symbols AAPL,MSFT" in refused.stderr and not (tmp_path / "weekahead.toml").exists()
    call(home, "init", "--source", "yahoo", "--symbols", "msft,^GSPC", "--start", "2020-01-02")
    monkeypatch.chdir(tmp_path)
    ingest = load_settings().ingest
    assert ingest.source == "yahoo" and ingest.symbols == ("MSFT", "^GSPC")
    assert str(ingest.start) == "2020-01-02"
    assert "there already" in call(home, "init", code=2).stderr
    # Every setting that is only mentioned has that name and that default.
    path = tmp_path / "weekahead.toml"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line.removeprefix("# ") if " = " in line else line for line in lines))
    mentioned = load_settings()
    path.write_text("\n".join(lines))
    assert mentioned == load_settings()


def test_settings_name_the_symbols_of_a_run(tmp_path: Path) -> None:
    home = tmp_path / "home"
    call(home, "init", "--source", "sample", "--symbols", "IBM")
    shown = call(home, "ingest", "--json", "--start", "2012-12-01", "--end", "2012-12-31").stdout
    assert '"IBM"' in shown and "AAPL" not in shown
    other = call(home, "ingest", "--symbols", "AAPL", "--start", "2012-12-01", "--json").stdout
    assert '"AAPL"' in other and "IBM" not in other


def test_completion_completes_in_a_new_shell(tmp_path: Path) -> None:
    said = call(tmp_path / "home", "completion", "bash", HOME=str(tmp_path)).stdout
    script = tmp_path / ".local/share/bash-completion/completions/weekahead"
    assert str(script) in said
    ask = (
        f"source {script}; COMP_WORDS=(weekahead op); COMP_CWORD=1; "
        '_weekahead_completion weekahead; echo "${COMPREPLY[@]}"'
    )
    path = f"{WEEKAHEAD.parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", ask], capture_output=True, text=True, env=os.environ | {"PATH": path}
    )
    assert done.stdout == "open\n", done.stderr
    assert "name bash, zsh or fish" in call(
        tmp_path / "home", "completion", code=2, SHELL="/bin/csh"
    ).stderr  # fmt: skip
