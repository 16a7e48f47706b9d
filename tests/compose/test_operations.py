"""Backup, restore, rotation, upgrade, scaling and moving in, on real containers."""

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from catalog.tables import TABLES
from tests.compose.stack import ROOT, START_SECONDS, Stack, new_stack, removed_at_the_end

BACKUP = ROOT / "deploy" / "compose" / "backup.sh"
# The first password of an account that lives in a database: changed there, and then handed over.
KEPT = {"postgres", "mlflow_admin", "superset_admin", "airflow_admin"}
KEPT |= {"superset_key", "airflow_fernet"}


def backup(stack: Stack, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    """Run the script as a person would, in the project of a stack."""
    return stack.attempt(str(BACKUP), *map(str, arguments), timeout=1800)


def succeed(done: "subprocess.CompletedProcess[str]") -> None:
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]


def secrets(stack: Stack) -> dict[str, str]:
    """Every secret of a stack."""
    path = "/var/lib/secrets/all/secrets.json"
    text = stack.compose("run", "--rm", "-T", "--no-deps", "--entrypoint", "cat", "secrets", path)
    known: dict[str, str] = json.loads(text)
    return known


def mlflow(stack: Stack, path: str) -> Any:
    answer = httpx.get(
        f"{stack.url('mlflow')}/api/2.0/mlflow/{path}", auth=stack.logins["mlflow"], timeout=60
    )
    answer.raise_for_status()
    return answer.json()


def models(stack: Stack) -> dict[str, Any]:
    """Registered versions, with the runs and artifacts that they point to."""
    found = mlflow(stack, "model-versions/search?max_results=100")["model_versions"]
    keys = ("run_id", "source", "status", "aliases")
    return {f"{each['name']} {each['version']}": [each.get(key) for key in keys] for each in found}


def contents(stack: Stack) -> dict[str, Any]:
    """Rows and checksums of lake and marts, and what Prefect and MLflow know."""
    lake = " union all ".join(
        f"select '{table.name}' as name, count(*) as n, sum(hash(t)::hugeint)::varchar as mark "
        f"from {table.name} t"
        for table in TABLES
    )
    tables = stack.sql(
        "select name from system.tables where database = 'marts' and engine like '%MergeTree'",
        engine="clickhouse",
    )
    marts = " union all ".join(
        f"select '{row['name']}' as name, count() as n, toString(sum(cityHash64(*))) as mark "
        f"from marts.{row['name']}"
        for row in tables
    )
    runs = stack.prefect("POST", "/flow_runs/filter", {})
    deployments = stack.prefect("POST", "/deployments/filter", {})
    return {
        "lake": {row["name"]: (row["n"], row["mark"]) for row in stack.sql(lake)},
        "marts": {
            row["name"]: (row["n"], row["mark"]) for row in stack.sql(marts, engine="clickhouse")
        },
        # Runs scheduled for tomorrow may be rescheduled at any time.
        "runs": {run["id"]: run["state_type"] for run in runs if run["state_type"] == "COMPLETED"},
        "deployments": {each["id"]: each["name"] for each in deployments},
        "models": models(stack),
    }


@pytest.fixture(scope="module")
def original() -> Iterator[Stack]:
    """A core stack in which the pipeline has run."""
    with removed_at_the_end(new_stack("weekahead-test-original")) as stack:
        stack.up()
        stack.read_logins()
        stack.pipeline("weekahead", "run")
        yield stack


@pytest.fixture(scope="module")
def archive(original: Stack, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A backup, and what was in the stack when it was made."""
    folder = tmp_path_factory.mktemp("backups") / "monday"
    before = contents(original)
    assert before["lake"]["raw.quotes"][0] > 10_000
    assert before["marts"]["fct_features"][0] > 10_000
    assert before["runs"] and before["deployments"] and before["models"]
    succeed(backup(original, "create", folder))
    return folder, before


@pytest.fixture(scope="module")
def restored(archive: tuple[Path, Any], original: Stack) -> Iterator[Stack]:
    """Another project, empty before, filled from the backup."""
    original.await_health()
    original.compose("down")
    with removed_at_the_end(new_stack("weekahead-test-restored")) as stack:
        succeed(backup(stack, "restore", archive[0]))
        stack.logins = original.logins
        yield stack


def test_ctrl_c_leaves_the_stack_running_and_no_half_backup(
    original: Stack, tmp_path: Path
) -> None:
    process = subprocess.Popen(
        [BACKUP, "create", tmp_path / "half"],
        cwd=ROOT,
        env=original.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
        # A shell cannot trap what was ignored when it started, as under nohup.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    while "archiving" not in (line := process.stdout.readline()):
        assert line, "it ended before it archived anything"
    assert list(tmp_path.iterdir()) == [tmp_path / "half.partial"]
    # As from a terminal: to the script and to everything that it has started.
    os.killpg(process.pid, signal.SIGINT)
    process.stdout.read()
    assert process.wait(START_SECONDS) == 130
    assert list(tmp_path.iterdir()) == []
    original.await_health()


def test_a_backup_is_complete_private_and_checked(
    archive: tuple[Path, Any], original: Stack, tmp_path: Path
) -> None:
    folder, _ = archive
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    volumes = original.docker(
        "volume",
        "ls",
        "--quiet",
        "--filter",
        f"label=com.docker.compose.project={original.project}",
    )
    expected = {name.removeprefix(f"{original.project}_") for name in volumes.split()}
    assert {path.name.removesuffix(".tar.gz") for path in folder.glob("*.tar.gz")} == expected
    succeed(backup(original, "verify", folder))

    copy = tmp_path / "damaged"
    shutil.copytree(folder, copy)
    with (copy / "postgres.tar.gz").open("ab") as file:
        file.write(b"x")
    assert "damaged" in backup(original, "verify", copy).stderr
    (copy / "postgres.tar.gz").unlink()
    assert backup(original, "verify", copy).returncode == 1
    # A new backup must not overwrite an existing one.
    assert "exists" in backup(original, "create", folder).stderr


def test_what_was_restored_is_what_was_there(restored: Stack, archive: tuple[Path, Any]) -> None:
    folder, before = archive
    assert contents(restored) == before
    refused = backup(restored, "restore", folder)
    assert refused.returncode == 1 and "is running" in refused.stderr


def test_the_restored_stack_goes_on_where_the_other_stopped(restored: Stack) -> None:
    assert "0 of 25 forecasts are new in the ledger" in restored.pipeline("weekahead", "run")
    assert "nothing changed" in restored.pipeline("weekahead", "train")


def test_every_secret_can_be_rotated(restored: Stack) -> None:
    old = secrets(restored)
    names = sorted(set(old) - KEPT)
    restored.compose("run", "--rm", "-T", "--no-deps", "secrets", "rotate", *names)
    restored.compose("up", "--detach", "--no-build", "--force-recreate", "--wait")
    new = secrets(restored)
    assert {name for name in old if old[name] != new[name]} == set(names)
    logins, restored.logins = restored.logins, {}
    restored.read_logins()

    # The new ones work from one end to the other ...
    restored.pipeline("weekahead", "ingest")
    assert restored.sql("select count(*) as n from marts.fct_quotes", engine="clickhouse")[0]["n"]
    assert models(restored)
    # ... and the old ones nowhere.
    for secret, name, engine, table in (
        ("s3_reader_secret_key", "S3__READER_SECRET_KEY", "duckdb", "raw.quotes"),
        ("clickhouse_reader", "CLICKHOUSE__READER_PASSWORD", "clickhouse", "marts.fct_quotes"),
    ):
        value = old[secret]
        command = f"weekahead sql --engine {engine} 'select count(*) from {table}' 2>&1"
        used = f"! env WEEKAHEAD_{name}={value} {command}"
        assert "error" in restored.pipeline("sh", "-c", used)
    answer = httpx.post(f"{restored.url('prefect')}/api/flows/count", auth=logins["prefect"])
    assert answer.status_code == 401
    query = "psql --host 127.0.0.1 --username prefect --command 'select 1' 2>&1"
    for value, works in ((old["database_prefect"], False), (new["database_prefect"], True)):
        command = f"PGPASSWORD={value} {query} && echo in || echo out"
        shown = restored.compose("exec", "-T", "postgres", "sh", "-c", command)
        assert shown.split()[-1] == ("in" if works else "out"), shown


def test_two_workers_share_the_pool(restored: Stack) -> None:
    restored.compose("up", "--detach", "--no-build", "--wait", "--scale", "worker=2")
    workers = restored.prefect("POST", "/work_pools/weekahead/workers/filter", {})
    assert len([worker for worker in workers if worker["status"] == "ONLINE"]) >= 2
    run = restored.start_run("ingest")
    assert restored.await_end(run) == "COMPLETED"


def test_one_service_is_upgraded_alone(restored: Stack) -> None:
    def ids() -> dict[str, str]:
        lines = restored.compose("ps", "--format", "json").splitlines()
        return {each["Name"]: each["ID"] for each in map(json.loads, lines)}

    before, known = ids(), models(restored)
    restored.compose("up", "--detach", "--no-deps", "--force-recreate", "--wait", "mlflow")
    after = ids()
    assert {name for name in after if after[name] != before.get(name)} == {
        restored.container("mlflow")
    }
    assert models(restored) == known


def test_an_embedded_home_moves_into_containers(tmp_path: Path, restored: Stack) -> None:
    restored.compose("stop")
    home = tmp_path / "home"
    variables = {
        name: value for name, value in os.environ.items() if not name.startswith("WEEKAHEAD_")
    }
    variables |= {"WEEKAHEAD_HOME": str(home), "WEEKAHEAD_FORECAST__FOLDS": "2"}
    weekahead = Path(sys.executable).parent / "weekahead"

    def embedded(*command: str) -> str:
        done = subprocess.run(
            [weekahead, *command], cwd=tmp_path, env=variables, capture_output=True, text=True
        )
        succeed(done)
        return done.stdout

    embedded("run")
    ledger = "select * from ml.forecasts order by all"
    there = json.loads(embedded("sql", "--format", "json", ledger))
    assert there
    with removed_at_the_end(new_stack("weekahead-test-moved")) as stack:
        succeed(backup(stack, "move", home))
        assert stack.sql(ledger) == there
        stack.read_logins()
        assert list(models(stack)) == ["weekahead 1"]
        # The champion's artifacts are found where its record says.
        stack.pipeline("weekahead", "predict")
        assert len(stack.sql(ledger)) == len(there)
        refused = backup(stack, "move", home)
        assert refused.returncode == 1 and "is running" in refused.stderr
