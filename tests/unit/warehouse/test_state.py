"""When the warehouse is up to date, and when its models must be rebuilt."""

from pathlib import Path

import pytest

from lakehouse.connections.clickhouse_client import Address, server_address
from lakehouse.errors import SettingsError
from lakehouse.settings import Settings
from lakehouse.warehouse.builds import wanted_build
from lakehouse.warehouse.runner import dbt_environment
from lakehouse.warehouse.transform import LEDGER, _covered

SNAPSHOTS = {"raw.quotes": 1, "ml.forecasts": None}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "models").mkdir()
    (tmp_path / "seeds").mkdir()
    (tmp_path / "models" / "a.sql").write_text("select 1")
    (tmp_path / "seeds" / "b.csv").write_text("x\n1\n")
    monkeypatch.setattr(Settings, "dbt_dir", tmp_path)
    return tmp_path


def _settings(url: str | None = "http://127.0.0.1:8123") -> Settings:
    return Settings(_env_file=None, clickhouse={"url": url, "writer_password": "secret-word"})  # type: ignore[call-arg, arg-type]


def test_a_changed_model_asks_for_a_full_refresh(project: Path) -> None:
    before = wanted_build(_settings(), SNAPSHOTS)
    assert wanted_build(_settings(), SNAPSHOTS) == before
    (project / "models" / "a.sql").write_text("select 2")
    after = wanted_build(_settings(), SNAPSHOTS)
    assert after.models != before.models
    assert after.project != before.project


def test_a_changed_seed_asks_for_a_build_but_not_from_scratch(project: Path) -> None:
    before = wanted_build(_settings(), SNAPSHOTS)
    (project / "seeds" / "b.csv").write_text("x\n2\n")
    after = wanted_build(_settings(), SNAPSHOTS)
    assert after.models == before.models
    assert after.project != before.project


def test_a_build_of_the_ledger_covers_the_models_tables_only(project: Path) -> None:
    before = wanted_build(_settings(), SNAPSHOTS)
    wanted = wanted_build(_settings(), {"raw.quotes": 2, "ml.forecasts": 3})
    covered = _covered(LEDGER, before, wanted)
    assert covered is not None
    assert covered.snapshots == {"raw.quotes": 1, "ml.forecasts": 3}
    assert _covered("fct_quotes", before, wanted) is None
    assert _covered(LEDGER, None, wanted) is None
    assert _covered(None, before, wanted) == wanted


def test_the_environment_is_restored_and_keeps_the_password_out_of_arguments(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import os

    monkeypatch.setenv("WEEKAHEAD_SNAPSHOT_ML_FORECASTS", "77")
    monkeypatch.delenv("WEEKAHEAD_DBT_HOST", raising=False)
    with dbt_environment(_settings(), SNAPSHOTS):
        assert os.environ["DBT_ENV_SECRET_WEEKAHEAD_PASSWORD"] == "secret-word"
        assert os.environ["WEEKAHEAD_SNAPSHOT_RAW_QUOTES"] == "1"
        assert os.environ["WEEKAHEAD_SNAPSHOT_ML_FORECASTS"] == "none"
    assert os.environ["WEEKAHEAD_SNAPSHOT_ML_FORECASTS"] == "77"
    assert "WEEKAHEAD_DBT_HOST" not in os.environ


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        (None, "WEEKAHEAD_CLICKHOUSE__URL"),
        ("localhost:8123", "http://127.0.0.1"),
        ("http://", "http://127.0.0.1"),
        ("http://localhost:81230", "http://127.0.0.1"),
    ],
)
def test_a_wrong_address_is_a_settings_error(url: str | None, hint: str) -> None:
    with pytest.raises(SettingsError, match=hint):
        server_address(_settings(url).clickhouse)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://lake", Address("lake", 8123, secure=False)),
        ("https://lake", Address("lake", 8443, secure=True)),
        ("https://[::1]:9", Address("::1", 9, secure=True)),
    ],
)
def test_an_address_without_a_port_has_the_usual_one(url: str, address: Address) -> None:
    assert server_address(_settings(url).clickhouse) == address
