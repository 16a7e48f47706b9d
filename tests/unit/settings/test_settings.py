"""Settings: where they come from, which one wins, and what a mistake looks like."""

import json
import os
from pathlib import Path

import pytest

from lakehouse.errors import SettingsError
from lakehouse.settings import load_settings


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_command_line_beats_the_environment_beats_dotenv_beats_the_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("weekahead.toml").write_text("[http]\nattempts = 2\nparallel = 2\npause_seconds = 2\n")
    Path(".env").write_text(
        "WEEKAHEAD_HTTP__PARALLEL=3\nWEEKAHEAD_HTTP__PAUSE_SECONDS=3\nOTHER=x\n"
    )
    monkeypatch.setenv("WEEKAHEAD_HTTP__PAUSE_SECONDS", "4")
    http = load_settings().http
    assert (http.attempts, http.parallel, http.pause_seconds) == (2, 3, 4.0)
    assert load_settings(http={"attempts": 7}).http.attempts == 7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[http", "not valid TOML"),
        ("[http]\nattempts = 0", r"http\.attempts: .*WEEKAHEAD_HTTP__ATTEMPTS"),
        ("[http]\nretries = 3", r"http\.retries: there is no such setting"),
        ("[hppt]\nattempts = 3", r"hppt: there is no such setting"),
    ],
)
def test_a_mistake_is_named(text: str, message: str) -> None:
    Path("weekahead.toml").write_text(text)
    with pytest.raises(SettingsError, match=message):
        load_settings()


def test_secrets_are_masked() -> None:
    settings = load_settings(s3={"secret_key": "hush"}, clickhouse={"reader_password": "quiet"})
    assert "hush" not in repr(settings)
    assert "quiet" not in repr(settings)


def test_an_installed_wheel_finds_its_own_dbt_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As in site-packages, where "dbt" is the tool's package and not our project.
    (tmp_path / "dbt").mkdir()
    monkeypatch.setattr("lakehouse.settings.PROJECT_ROOT", tmp_path)
    assert load_settings().dbt_dir == tmp_path / "lakehouse" / "_dbt"
    (tmp_path / "dbt" / "dbt_project.yml").touch()
    assert load_settings().dbt_dir == tmp_path / "dbt"


HARD = ["a${HOME}b", "a$HOME", "quote'quote", "back\\slash", "a#b", "tick`x`", "$(id)"]


@pytest.mark.parametrize("value", HARD)
def test_a_secret_in_a_dotenv_file_stands_as_it_is(value: str) -> None:
    quoted = value.replace("\\", "\\\\").replace("'", "\\'")
    Path(".env").write_text(f"WEEKAHEAD_S3__SECRET_KEY='{quoted}'\n")
    assert load_settings().s3.secret_key.get_secret_value() == value


@pytest.mark.parametrize("value", [*HARD, 'double"quote', "line\nWEEKAHEAD_HTTP__ATTEMPTS=9"])
def test_a_value_cannot_set_another(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = load_settings()
    Path("weekahead.toml").write_text(f"[s3]\nsecret_key = {json.dumps(value)}\n")
    assert load_settings().s3.secret_key.get_secret_value() == value
    monkeypatch.setenv("WEEKAHEAD_S3__SECRET_KEY", value)
    changed = load_settings()
    assert changed.s3.secret_key.get_secret_value() == value
    assert changed.http == plain.http


@pytest.mark.parametrize("name", ["weekahead.toml", ".env"])
def test_a_settings_file_that_another_account_can_write_is_refused(name: str) -> None:
    Path(name).touch()
    Path(name).chmod(0o666)
    with pytest.raises(SettingsError, match=rf"{name} can be written by another account"):
        load_settings()
    Path(name).chmod(0o644)
    load_settings()
    if os.geteuid() == 0:
        os.chown(name, 65534, 65534)
        with pytest.raises(SettingsError, match=rf"{name} can be written by another account"):
            load_settings()


@pytest.mark.parametrize("name", ["a' OR '1'='1", "a/b", "models:/x", "a\nb", ""])
def test_names_in_mlflow_are_plain(name: str) -> None:
    with pytest.raises(SettingsError, match=r"mlflow\.model_name"):
        load_settings(mlflow={"model_name": name})
