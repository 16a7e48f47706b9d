"""The main job, through the command line as a person runs it, on real services."""

import json
import os
import signal
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pytest

from catalog.duckdb import connect as connect_duckdb
from catalog.snapshots import current_snapshots
from deploy.local import running
from flows.opened import opened
from lakehouse.connections.clickhouse_client import connect as connect_clickhouse
from lakehouse.platform import Platform
from tests.homes import call, copied, eventually, marked, pids, result_of, settings_of, start

BARS = {"AAPL": 3270, "FB": 196, "GOOG": 2148, "IBM": 3270, "MSFT": 3270}
PRICES = ("open", "high", "low", "close", "volume")
FORECAST_KEY = ("symbol", "as_of_date", "horizon")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, run_home: Path) -> Path:
    return copied(run_home, tmp_path_factory.mktemp("main") / "home")


@pytest.fixture(scope="module")
def first(home: Path) -> dict[str, Any]:
    """The result of the first run."""
    return result_of(home)


@pytest.fixture(scope="module")
def up(home: Path, first: dict[str, Any]) -> Iterator[Platform]:
    """The services, up again after the first run."""
    with opened(settings_of(home)) as platform:
        yield platform


def quotes(platform: Platform) -> pa.Table:
    columns = ("symbol", "trade_date", *PRICES)
    table = platform.lake.load_table("raw.quotes")
    rows = table.scan(selected_fields=columns).to_arrow().select(columns)
    return rows.sort_by([("symbol", "ascending"), ("trade_date", "ascending")])


def forecasts(platform: Platform) -> list[dict[str, Any]]:
    table = platform.lake.load_table("ml.forecasts")
    rows: list[dict[str, Any]] = table.scan().to_arrow().to_pylist()
    return sorted(rows, key=lambda row: [row[name] for name in FORECAST_KEY])


def test_the_quotes_are_the_packages_value_for_value(up: Platform) -> None:
    from bokeh_sampledata import stocks

    expected = {
        (symbol, date.fromisoformat(day)): tuple(float(data[name][number]) for name in PRICES)
        for symbol in BARS
        for data in [getattr(stocks, symbol)]
        for number, day in enumerate(data["date"])
    }
    rows = quotes(up).to_pylist()
    found = {
        (row["symbol"], row["trade_date"]): tuple(float(row[name]) for name in PRICES)
        for row in rows
    }
    assert len(rows) == len(found) == 12_154
    assert found == expected
    assert Counter(row["symbol"] for row in rows) == BARS


def test_pyiceberg_duckdb_and_clickhouse_read_the_same_rows(up: Platform) -> None:
    columns = ", ".join(("symbol", "trade_date", *PRICES))
    order = "ORDER BY symbol, trade_date"
    expected = [tuple(row.values()) for row in quotes(up).to_pylist()]
    with connect_duckdb(
        up.settings.catalog, up.settings.s3, extension_dir=up.settings.home / "duckdb"
    ) as duck:
        assert duck.execute(f"SELECT {columns} FROM raw.quotes {order}").fetchall() == expected
    with connect_clickhouse(up.settings, role="writer") as client:
        rows = client.query(f"SELECT {columns} FROM lake.`raw.quotes` {order}").result_rows
    assert [tuple(row) for row in rows] == expected


def test_adjusted_closes_show_no_jump_at_the_splits(up: Platform) -> None:
    """The raw close halves on these days; the adjusted one moves as on any other day."""
    for symbol, day in (("AAPL", "2000-06-21"), ("AAPL", "2005-02-28"), ("MSFT", "2003-02-18")):
        statement = (
            "SELECT close, adjusted_close FROM marts.fct_quotes "
            f"WHERE symbol = '{symbol}' AND trade_date <= '{day}' "
            "ORDER BY trade_date DESC LIMIT 2"
        )
        with connect_clickhouse(up.settings, role="reader") as client:
            (raw, adjusted), (raw_before, adjusted_before) = client.query(statement).result_rows
        assert raw / raw_before < 0.6, (symbol, day)
        assert 0.9 < adjusted / adjusted_before < 1.1, (symbol, day)


def test_every_symbol_and_horizon_has_a_forecast_by_the_champion(
    up: Platform, first: dict[str, Any]
) -> None:
    from lakehouse.models import registry

    champion = registry.require_champion(up.models)
    ledger = forecasts(up)
    assert {(row["symbol"], row["horizon"]) for row in ledger} == {
        (symbol, horizon) for symbol in BARS for horizon in range(1, 6)
    }
    assert {row["model_version"] for row in ledger} == {str(champion.version)}
    assert first["train"]["champion_version"] == str(champion.version)
    for row in ledger:
        assert row["as_of_date"] == date(2013, 3, 1) < row["target_date"]
        bands = [row[name] for name in ("lower_95", "lower_80", "point", "upper_80", "upper_95")]
        assert bands == sorted(bands)
        assert len(set(bands)) == 5
    with connect_clickhouse(up.settings, role="reader") as client:
        mart = client.query("SELECT symbol, horizon, point FROM marts.fct_forecasts").result_rows
    assert sorted(mart) == [(row["symbol"], row["horizon"], row["point"]) for row in ledger]


def test_the_model_is_in_the_object_store_with_its_snapshots(
    up: Platform, first: dict[str, Any]
) -> None:
    from lakehouse.models import registry

    client = up.models.client
    version = registry.require_champion(up.models)
    run = client.get_run(version.run_id)
    assert run.info.artifact_uri.startswith("s3://artifacts/")
    snapshots = first["train"]["snapshots"]
    assert snapshots["raw.quotes"] in [
        snapshot.snapshot_id for snapshot in up.lake.load_table("raw.quotes").snapshots()
    ]
    assert str(snapshots["raw.quotes"]) in json.dumps(version.tags)


def test_prefect_kept_the_runs_and_their_artifacts(up: Platform) -> None:
    import httpx

    from deploy.local import PREFECT

    with running(up.settings, needs=frozenset({PREFECT})):
        user, password = os.environ["PREFECT_API_AUTH_STRING"].split(":")
        with httpx.Client(base_url=os.environ["PREFECT_API_URL"], auth=(user, password)) as api:
            runs = api.post("/flow_runs/filter", json={}).json()
            artifacts = api.post("/artifacts/filter", json={}).json()
            lines = api.post("/logs/filter", json={"limit": 200}).json()
    assert {run["state_type"] for run in runs} == {"COMPLETED"}
    assert len(runs) >= 6
    keys = {artifact["key"] for artifact in artifacts}
    assert keys >= {"ingest-symbols", "transform-marts", "train-gate", "predict-forecasts"}
    assert any("AAPL" in line["message"] for line in lines)


def test_a_second_run_changes_nothing(home: Path, up: Platform, first: dict[str, Any]) -> None:
    catalog = up.lake
    before = current_snapshots(catalog)
    ledger = forecasts(up)
    second = json.loads(call(home, "run", "--json").stdout)
    assert current_snapshots(catalog) == before
    assert forecasts(up) == ledger
    assert second["transform"] is None
    assert second["train"]["skipped"] is True
    assert second["predict"]["new"] == 0
    assert second["train"]["champion_version"] == first["train"]["champion_version"]


def test_dask_gives_the_same_figures_as_threads(
    home: Path, up: Platform, first: dict[str, Any]
) -> None:
    options = ("--force", "--dry-run", "--json")
    answer = call(home, "train", *options, WEEKAHEAD_FORECAST__RUNNER="dask")
    result = json.loads(answer.stdout)
    assert result["data_digest"] == first["train"]["data_digest"]
    assert {found["kind"]: found["figures"] for found in result["candidates"]} == {
        found["kind"]: found["figures"] for found in first["train"]["candidates"]
    }


def test_sql_answers_in_every_format(home: Path, up: Platform) -> None:
    count = "select count(*) as bars from raw.quotes"
    assert "12154" in call(home, "sql", count).stdout
    assert json.loads(call(home, "sql", count, "--format", "json").stdout) == [{"bars": 12_154}]
    marts = "select count() as bars from marts.fct_quotes"
    answer = call(home, "sql", "--engine", "clickhouse", marts, "--format", "csv").stdout
    assert answer == "bars\n12154\n"
    everything = call(home, "sql", "select * from raw.quotes", "--format", "csv").stdout
    assert everything.count("\n") == 12_155
    refused = call(home, "sql", "--engine", "clickhouse", "drop table marts.fct_quotes", code=2)
    assert "Not enough privileges" in refused.stderr
    assert "no_such" in call(home, "sql", "select no_such from raw.quotes", code=2).stderr
    assert call(home, "sql", "drop table raw.quotes", code=2).stdout == ""
    assert "12154" in call(home, "sql", count).stdout
    unqualified = call(
        home, "sql", "--engine", "clickhouse", "select count() from fct_quotes", code=2
    )
    assert "as in marts.fct_quotes" in unqualified.stderr


@pytest.mark.parametrize(
    ("arguments", "environment", "code", "message"),
    [
        (["ingest", "--symbols", "NOSUCH"], {}, 1, "NOSUCH"),
        (["ingest", "--start", "2012-02-01", "--end", "2012-01-01"], {}, 2, "--end 2012-01-01"),
        (["ingest", "--start", "1990-01-01", "--end", "1990-02-01"], {}, 1, "no quotes"),
        (["ingest", "--source", "nowhere"], {}, 2, "nowhere"),
        (["ingest", "--start", "yesterday"], {}, 2, "is not a date"),
        (["ingest", "--symbols", " , "], {}, 2, "there is no symbol"),
        (
            ["ingest", "--source", "moex", "--symbols", "SBER"],
            {"WEEKAHEAD_MOEX__BASE_URL": "http://127.0.0.1:9", "WEEKAHEAD_HTTP__ATTEMPTS": "2"},
            1,
            "127.0.0.1:9",
        ),
        (["ingest"], {"WEEKAHEAD_HTTP__ATTEMPTS": "many"}, 2, "WEEKAHEAD_HTTP__ATTEMPTS"),
        (["sql", "select 1"], {"WEEKAHEAD_CATALOG__TYPE": "paper"}, 2, "WEEKAHEAD_CATALOG__TYPE"),
        (["sql", " "], {}, 2, "There is no statement"),
    ],
)
def test_bad_input_is_one_clear_message(
    home: Path,
    up: Platform,
    arguments: list[str],
    environment: dict[str, str],
    code: int,
    message: str,
) -> None:
    before = current_snapshots(up.lake)
    failed = call(home, *arguments, code=code, **environment)
    assert message in failed.stderr
    assert failed.stdout == ""
    assert current_snapshots(up.lake) == before


def test_broken_settings_taken_ports_and_unusable_homes_are_named(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (tmp_path / "weekahead.toml").write_text("[ingest\nsource=")
    assert "weekahead.toml is not valid TOML" in call(home, "ingest", code=2).stderr
    (tmp_path / "weekahead.toml").write_text("[ingest]\nsauce = 'sample'")
    assert "there is no such setting" in call(home, "ingest", code=2).stderr
    (tmp_path / "weekahead.toml").unlink()
    (tmp_path / "file").write_text("")
    assert "WEEKAHEAD_HOME" in call(tmp_path / "file", "ingest", code=1).stderr
    full = call(home, "ingest", code=1, WEEKAHEAD_SERVICES__MIN_FREE_DISK_MB=str(10**9))
    assert "MB are free on the disk" in full.stderr
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        named = call(home, "ingest", code=1, WEEKAHEAD_SERVICES__S3_PORT=port)
    assert f"Port {port}" in named.stderr


def wait_for(command: subprocess.Popen[str], text: str) -> None:
    assert command.stderr is not None
    seen = []
    for line in command.stderr:
        seen.append(line)
        if text in line:
            return
    raise AssertionError(f"it ended before {text!r}:\n{''.join(seen)}")


@pytest.fixture(scope="module")
def killed_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("killed") / "home"


def hurt(home: Path, service: str, moment: str, *arguments: str) -> tuple[int, str]:
    """Exit code and messages of a command whose service is killed at that moment."""
    command = start(home, *arguments)
    wait_for(command, moment)
    psutil.Process(pids(home)[service]).kill()
    _, err = command.communicate(timeout=300)
    assert not marked(home)
    return command.returncode, err


def test_a_run_outlives_a_lake_that_is_killed_during_the_ingest(killed_home: Path) -> None:
    code, err = hurt(killed_home, "seaweedfs", "AAPL: ", "run")
    assert code == 0, err


def test_a_warehouse_that_is_killed_fails_the_build_clearly(killed_home: Path) -> None:
    code, err = hurt(killed_home, "clickhouse", "model int_splits", "transform", "--full-refresh")
    assert code == 1, err
    assert "error:" in err


def test_the_run_after_the_kills_ends_in_the_same_state(
    killed_home: Path, up: Platform, first: dict[str, Any]
) -> None:
    result = json.loads(call(killed_home, "run", "--json").stdout)
    assert result["train"]["data_digest"] == first["train"]["data_digest"]
    with opened(settings_of(killed_home)) as platform:
        assert quotes(platform).equals(quotes(up))
        values = [
            [{k: row[k] for k in (*FORECAST_KEY, "point", "lower_80", "upper_95")} for row in rows]
            for rows in (forecasts(platform), forecasts(up))
        ]
    assert values[0] == values[1]


def test_ctrl_c_stops_everything_and_loses_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    command = start(home, "ingest")
    wait_for(command, "starting")
    eventually(lambda: "seaweedfs" in pids(home), 30)
    command.send_signal(signal.SIGINT)
    _, err = command.communicate(timeout=60)
    assert command.returncode == 130
    assert "Interrupted" in err
    assert not marked(home)


def test_two_runs_at_once_leave_one_copy(tmp_path: Path) -> None:
    """Both succeed; the second joins the services, waits its turn, and finds the work done."""
    home = tmp_path / "home"
    commands = [start(home, "run", "--json") for _ in range(2)]
    results = [command.communicate(timeout=400) for command in commands]
    for command, (_, err) in zip(commands, results, strict=True):
        assert command.returncode == 0, err
    with opened(settings_of(home)) as platform:
        assert quotes(platform).num_rows == 12_154
        ledger = forecasts(platform)
        serving = {json.loads(out)["train"]["champion_version"] for out, _ in results}
    keys = [tuple(row[name] for name in (*FORECAST_KEY, "model_version")) for row in ledger]
    assert len(keys) == len(set(keys)) == 25 * len(serving)
