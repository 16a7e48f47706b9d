"""Settings: where they come from, which one wins, and what a mistake looks like."""

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
