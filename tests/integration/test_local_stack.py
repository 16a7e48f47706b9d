"""The local stack: up, used, killed, down. Real servers, one stack for the whole module."""

import json
import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import install_opener, urlopen
from uuid import uuid4

import psutil
import pytest

from catalog.connect import open_catalog
from deploy.local import running
from deploy.local.reaper import Server
from flows.alerts import STALE
from lakehouse.home import load_secrets, open_home
from tests.apis import as_person
from tests.homes import call, copied, eventually, marked, outside, settings_of, start
from tests.stranger import EVIL, SIGNS_OF_LIFE, files_with, intrude

ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(600)
"""
BASE = {"seaweedfs", "clickhouse", "prefect", "mlflow", "worker", "reaper"}


def up(home: Path) -> dict[str, dict[str, Any]]:
    return {service["name"]: service for service in json.loads(call(home, "up", "--json").stdout)}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, run_home: Path) -> Iterator[Path]:
    """What ``weekahead run`` has left: the newcomer's second command is ``up``."""
    path = copied(run_home, tmp_path_factory.mktemp("local") / "home")
    with (
        outside(path / "outside.log") as environment,
        pytest.MonkeyPatch.context() as variables,
    ):
        for name, value in environment.items():
            variables.setenv(name, value)
        yield path
        call(path, "down")
    # The opener of this process keeps the proxies that it was made with.
    install_opener(None)


@pytest.fixture(scope="module")
def first(home: Path) -> dict[str, dict[str, Any]]:
    return up(home)


@pytest.fixture(scope="module")
def server(home: Path, first: dict[str, Any]) -> Server:
    port = first["prefect"]["ports"]["api"]
    return Server(
        f"http://127.0.0.1:{port}/api", f"weekahead:{load_secrets(open_home(home))['prefect']}"
    )


def trigger(server: Server, name: str, **parameters: Any) -> str:
    wanted = {"deployments": {"name": {"any_": [name]}}}
    (deployment,) = server.post("/deployments/filter", wanted)
    run = server.post(
        f"/deployments/{deployment['id']}/create_flow_run", {"parameters": parameters}
    )
    return str(run["id"])


def read_run(server: Server, run_id: str) -> dict[str, Any]:
    (run,) = server.post("/flow_runs/filter", {"flow_runs": {"id": {"any_": [run_id]}}})
    return dict(run)


def slots(server: Server) -> dict[str, int]:
    limits = server.post("/v2/concurrency_limits/filter", {})
    return {limit["name"]: limit["active_slots"] for limit in limits}


@pytest.fixture
def waiting_run(server: Server) -> Iterator[tuple[str, psutil.Process]]:
    """A run of ``ingest`` in the middle of its work: it waits for the writers' slot."""
    taken = server.post(
        "/v2/concurrency_limits/increment-with-lease",
        {"names": ["weekahead-writers"], "slots": 1, "mode": "concurrency", "lease_duration": 300},
    )
    run_id = trigger(server, "ingest")
    eventually(lambda: read_run(server, run_id)["state_type"] == "RUNNING", 120)
    yield run_id, psutil.Process(int(read_run(server, run_id)["infrastructure_pid"]))
    server.post("/v2/concurrency_limits/decrement-with-lease", {"lease_id": taken["lease_id"]})


def test_everything_is_ready_and_a_second_up_changes_nothing(
    home: Path, first: dict[str, dict[str, Any]]
) -> None:
    assert set(first) == BASE
    assert {service["state"] for service in first.values()} == {"ready"}
    again = up(home)
    assert {name: service["pid"] for name, service in again.items()} == {
        name: service["pid"] for name, service in first.items()
    }
    assert json.loads(call(home, "status", "--json").stdout)[0]["state"] == "ready"


def test_nothing_listens_beyond_loopback_and_no_secret_is_public(
    home: Path, first: dict[str, Any]
) -> None:
    processes = marked(home)
    addresses = {
        connection.laddr.ip
        for process in processes
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert addresses == {"127.0.0.1"}
    secrets = load_secrets(open_home(home)).values()
    lines = "\n".join(" ".join(process.cmdline()) for process in processes)
    assert not any(secret in lines for secret in secrets)
    for path in (*(home / "config").iterdir(), *(home / "run").rglob("*.json")):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


@pytest.mark.parametrize(
    ("service", "port", "path"),
    [("prefect", "api", "/api/admin/version"), ("mlflow", "http", "/")],
)
def test_servers_ask_for_a_login(first: dict[str, Any], service: str, port: str, path: str) -> None:
    with pytest.raises(HTTPError) as refused:
        urlopen(f"http://127.0.0.1:{first[service]['ports'][port]}{path}", timeout=10)
    assert refused.value.code == 401


def test_commands_use_the_stack_and_leave_it_up(home: Path, first: dict[str, Any]) -> None:
    for use_case in ("predict", "run"):
        out = json.loads(call(home, use_case, "--json").stdout)
        assert out.get("predict", out)["new"] == 0
    assert {p.pid for p in marked(home)} >= {service["pid"] for service in first.values()}


def test_people_have_accounts_of_their_own(home: Path, first: dict[str, Any]) -> None:
    warehouse = f"http://127.0.0.1:{first['clickhouse']['ports']['http']}/"
    models = f"http://127.0.0.1:{first['mlflow']['ports']['http']}/api/2.0/mlflow"
    query = b"SELECT count() > 0 FROM marts.fct_quotes"
    made = call(home, "user", "add", "anna", "--role", "analyst").stdout
    password = made.rpartition(": ")[2].strip()
    assert as_person(warehouse, "anna", password, query) == (200, "1\n")
    assert as_person(warehouse, "anna", password, b"DROP TABLE marts.fct_quotes")[0] >= 400
    search = f"{models}/experiments/search?max_results=5"
    assert as_person(search, "anna", password)[0] == 200
    create = json.dumps({"username": "eve", "password": "x" * 12}).encode()
    assert as_person(f"{models}/users/create", "anna", password, create)[0] == 403
    assert password not in (home / "config" / "people.json").read_text()
    for path in (home / "config" / "people.json", home / "data" / "airflow" / "passwords.json"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    assert "already" in call(home, "user", "add", "anna", code=2).stderr
    assert "own account" in call(home, "user", "add", "writer", code=2).stderr
    (listed,) = json.loads(call(home, "user", "list", "--json").stdout)
    assert (listed["name"], listed["role"]) == ("anna", "analyst")

    renewed = call(home, "user", "rotate", "anna").stdout.rpartition(": ")[2].strip()
    assert as_person(warehouse, "anna", password, query)[0] == 403
    assert as_person(warehouse, "anna", renewed, query)[0] == 200
    assert as_person(search, "anna", password)[0] == 401
    assert as_person(search, "anna", renewed)[0] == 200

    call(home, "user", "remove", "anna")
    assert as_person(warehouse, "anna", renewed, query)[0] == 403
    assert as_person(search, "anna", renewed)[0] == 401
    assert json.loads(call(home, "user", "list", "--json").stdout) == []
    assert "no account 'anna'" in call(home, "user", "remove", "anna", code=2).stderr
    # Each change has started the warehouse again, as another process.
    first.update(up(home))


def test_a_remote_run_is_followed_to_its_end(home: Path, server: Server) -> None:
    command = start(home, "ingest", "--remote", "--symbols", "AAPL", "--json")
    out, err = command.communicate(timeout=300)
    assert command.returncode == 0, err
    result = json.loads(out)
    assert result["state"] == "Completed"
    assert "AAPL: 9 bars" in err
    assert result["result"]["symbols"]["AAPL"]["unchanged"] == 9
    assert read_run(server, result["run_id"])["parameters"]["symbols"] == ["AAPL"]


def test_a_deployed_build_has_a_task_for_each_node_of_dbt(server: Server) -> None:
    run_id = trigger(server, "transform", force=True)
    eventually(lambda: read_run(server, run_id)["state_type"] in ENDED, 300)
    assert read_run(server, run_id)["state"]["type"] == "COMPLETED", read_run(server, run_id)
    tasks = server.post("/task_runs/filter", {"flow_runs": {"id": {"any_": [run_id]}}})
    done = {run["name"]: run["state_type"] for run in tasks}
    for model in ("stg_quotes", "int_splits", "fct_quotes", "fct_features"):
        (name,) = (name for name in done if name.endswith(f"{model}"))
        assert done[name] == "COMPLETED"


def test_failures_and_stale_quotes_are_reported(home: Path, server: Server) -> None:
    run_id = trigger(server, "ingest", start="2013-01-02", end="2012-01-02")
    server.post(
        "/events",
        [
            {
                "occurred": datetime.now(UTC).isoformat(),
                "event": STALE,
                "resource": {
                    "prefect.resource.id": "weekahead.source.moex",
                    "prefect.resource.name": "moex",
                },
                "id": str(uuid4()),
            }
        ],
    )
    expected = {
        f"ingest Failed: {read_run(server, run_id)['name']}",
        "Quotes of moex are stale",
    }
    eventually(lambda: expected <= {entry["subject"] for entry in alerts(home)}, 300)


def alerts(home: Path) -> list[dict[str, str]]:
    path = home / "logs" / "alerts.log"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_of_runs_that_were_missed_the_newest_makes_up_for_all(server: Server) -> None:
    """A machine that slept for weeks comes back: the server hands out every run that was due."""
    now = datetime.now(UTC)
    named = {"deployments": {"name": {"any_": ["maintain"]}}}
    (deployment,) = server.post("/deployments/filter", named)
    asleep = {"start_time": (now - timedelta(days=20)).isoformat(), "end_time": now.isoformat()}
    server.post(f"/deployments/{deployment['id']}/schedule", asleep)

    def missed() -> list[dict[str, Any]]:
        due = {
            "deployment_id": {"any_": [deployment["id"]]},
            "expected_start_time": {"before_": now.isoformat()},
        }
        found = server.post("/flow_runs/filter", {"flow_runs": due})
        scheduled = [run for run in found if run["auto_scheduled"]]
        return sorted(scheduled, key=lambda run: str(run["expected_start_time"]))

    eventually(lambda: all(run["state_type"] in ENDED for run in missed()), 300)
    states = [run["state_type"] for run in missed()]
    assert len(states) >= 2
    assert states == ["CANCELLED"] * (len(states) - 1) + ["COMPLETED"]
    assert "makes up for it" in missed()[0]["state"]["message"]


def test_wrong_parameters_are_refused_before_anything_runs(server: Server) -> None:
    for wrong in ({"source": "nowhere"}, {"symbols": ["not a symbol"]}, {"start": "yesterday"}):
        with pytest.raises(OSError, match=r"answers (409|422)"):
            trigger(server, "ingest", **wrong)


def test_killed_worker_and_flow_become_crashed_and_free_their_slots(
    home: Path, server: Server, waiting_run: tuple[str, psutil.Process]
) -> None:
    run_id, flow = waiting_run
    worker = next(
        s for s in json.loads(call(home, "status", "--json").stdout) if s["name"] == "worker"
    )
    psutil.Process(worker["pid"]).kill()
    flow.kill()
    eventually(lambda: read_run(server, run_id)["state_type"] == "CRASHED", 60)
    deployment = f"deployment:{read_run(server, run_id)['deployment_id']}"
    assert slots(server)[deployment] == 0


def test_the_next_run_after_a_crash_completes_without_doubled_rows(
    home: Path, server: Server
) -> None:
    run_id = trigger(server, "ingest", symbols=["AAPL"])
    eventually(lambda: read_run(server, run_id)["state_type"] == "COMPLETED", 240)
    with running(settings_of(home)) as settings:
        table = open_catalog(settings.catalog, settings.s3).load_table("raw.quotes")
        rows = table.scan(selected_fields=("symbol", "trade_date")).to_arrow()
    assert rows.num_rows == 12_154 == len(set(zip(*rows.to_pydict().values(), strict=True)))


def test_cancelling_ends_the_process(
    server: Server, waiting_run: tuple[str, psutil.Process]
) -> None:
    run_id, flow = waiting_run
    server.post(
        f"/flow_runs/{run_id}/set_state", {"state": {"type": "CANCELLING", "name": "Cancelling"}}
    )
    eventually(lambda: read_run(server, run_id)["state_type"] == "CANCELLED", 90)
    assert not flow.is_running() or flow.status() == psutil.STATUS_ZOMBIE


def test_a_killed_service_comes_back_by_itself(home: Path, first: dict[str, Any]) -> None:
    psutil.Process(first["clickhouse"]["pid"]).kill()

    def back() -> bool:
        services = {s["name"]: s for s in json.loads(_status(home))}
        again = services["clickhouse"]
        return bool(again["state"] == "ready" and again["pid"] != first["clickhouse"]["pid"])

    eventually(back, 60)


def _status(home: Path) -> str:
    command = start(home, "status", "--json")
    return command.communicate(timeout=60)[0]


def test_pages_open_in_a_browser(home: Path, first: dict[str, Any]) -> None:
    from playwright.sync_api import sync_playwright

    images = Path(os.environ.get("STACK_SCREENSHOTS") or home)
    secrets = load_secrets(open_home(home))
    with sync_playwright() as playwright:
        proxy = {"server": os.environ["HTTP_PROXY"], "bypass": "127.0.0.1"}
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            proxy=proxy,  # type: ignore[arg-type]
        )
        size = {"width": 1280, "height": 800}
        page = browser.new_page(viewport=size)  # type: ignore[arg-type]
        page.goto(first["prefect"]["page"])
        page.get_by_role("textbox").fill(f"weekahead:{secrets['prefect']}")
        page.get_by_role("button", name="Login").click()
        page.goto(f"{first['prefect']['page']}deployments")
        page.get_by_text("ingest").first.wait_for()
        page.screenshot(path=images / "prefect-deployments.png")
        context = browser.new_context(
            viewport=size,  # type: ignore[arg-type]
            http_credentials={"username": "admin", "password": secrets["mlflow_admin"]},
        )
        page = context.new_page()
        page.goto(f"{first['mlflow']['page']}#/experiments")
        page.get_by_role("link", name="weekahead").wait_for(timeout=90_000)
        page.screenshot(path=images / "mlflow.png")
        browser.close()


def test_secrets_are_where_they_belong_and_nowhere_else(home: Path, first: dict[str, Any]) -> None:
    """Not in logs, databases, reports, parameters of runs, what dbt made, or arguments."""
    call(home, "report", "--output", str(home / "report.html"))
    secrets = dict(load_secrets(open_home(home)))
    secrets["weed_key"] = "".join((home / "config" / "weed.key").read_text().splitlines()[1:-1])
    kept = (home / "config", home / "run")
    files = [path for path in home.rglob("*") if not path.is_relative_to(kept[0])]
    described = [path for path in files if path.is_relative_to(kept[1])]
    found = files_with(secrets, (path for path in files if path not in described))
    # The engines keep, closed to others, what they log in with.
    own = {
        "seaweedfs": {name for name in secrets if name.startswith("s3_")},
        "clickhouse": {"s3_reader_access_key", "s3_reader_secret_key"},
    }
    assert [
        (name, path) for name, path in found
        if not any(name in own[e] and path.startswith(f"{home}/data/{e}/") for e in own)
    ] == []  # fmt: skip
    names = {path.name for path in files}
    assert names >= {"prefect.db", "mlflow.db", "manifest.json", "report.html", "worker.log"}
    # How services are started, secrets included, is for their owner.
    assert {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in described} == {0}
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            words = " ".join(process.cmdline())
            assert [name for name, value in secrets.items() if value in words] == []


def test_services_know_only_the_secrets_that_they_need(home: Path, first: dict[str, Any]) -> None:
    secrets = dict(load_secrets(open_home(home)))
    # It tells this home's processes from others.
    del secrets["stack_mark"]
    needed = {
        "seaweedfs": {"weed_jwt", "weed_jwt_read", "weed_jwt_filer", "weed_jwt_filer_read"},
        "prefect": {"prefect"},
        "mlflow": {"mlflow_session", "s3_reader_access_key", "s3_reader_secret_key"},
        "worker": {"prefect"},
        "reaper": {"prefect"},
    }
    for name, service in up(home).items():
        variables = "\n".join(psutil.Process(service["pid"]).environ().values())
        known = {secret for secret, value in secrets.items() if value in variables}
        assert known == needed.get(name, set()), name


def test_strangers_and_web_pages_get_nothing(home: Path, first: dict[str, Any]) -> None:
    opened = open_home(home)
    assert intrude(opened) == []
    assert intrude(opened, SIGNS_OF_LIFE, host=EVIL, origin=f"http://{EVIL}") == []
    query = "select count(*) as n from raw.quotes"
    table = json.loads(call(home, "sql", query, "--format", "json").stdout)
    assert table[0]["n"] > 0


def test_nothing_tried_to_reach_another_machine(home: Path, first: dict[str, Any]) -> None:
    """Neither the whole pipeline, nor the services, nor their pages."""
    lines = (home / "outside.log").read_text().splitlines()
    # Chromium has news of its own to ask for.
    assert [line for line in lines if not re.search(r"\.(google|googleapis|gvt1)\.com", line)] == []


def test_doctor_finds_nothing_wrong_and_names_what_is(home: Path, first: dict[str, Any]) -> None:
    findings = json.loads(call(home, "doctor", "--json").stdout)
    assert not [found for found in findings if found["level"] == "problem"]
    assert {found["area"] for found in findings} >= {
        "versions", "disk", "credentials", "stack", "catalog", "freshness", "runs",
    }  # fmt: skip
    secrets = home / "config" / "secrets.json"
    secrets.chmod(0o644)
    try:
        (problem,) = (
            found
            for found in json.loads(call(home, "doctor", "--json", code=1).stdout)
            if found["level"] == "problem"
        )
        assert str(secrets) in problem["what"]
        assert problem["todo"].startswith("chmod")
    finally:
        secrets.chmod(0o600)


def test_after_the_manager_is_killed_nothing_is_left_and_up_recovers(
    home: Path, first: dict[str, dict[str, Any]]
) -> None:
    manager = psutil.Process(int((home / "run" / "supervisor.pid").read_text()))
    # What a service has started is no child of the manager, and may not end when asked to.
    stubborn = subprocess.Popen(
        [sys.executable, "-c", STUBBORN], env=manager.environ(), stdout=subprocess.PIPE
    )
    assert stubborn.stdout and stubborn.stdout.readline()
    manager.kill()
    eventually(lambda: stubborn.poll() is not None, 60)
    assert stubborn.returncode == -signal.SIGKILL
    eventually(lambda: not marked(home), 60)
    again = up(home)
    assert {service["state"] for service in again.values()} == {"ready"}
    assert again["prefect"]["page"] == first["prefect"]["page"]
    assert again["mlflow"]["page"] == first["mlflow"]["page"]


def test_down_leaves_nothing_and_touches_nobody_else(home: Path, first: dict[str, Any]) -> None:
    other = subprocess.Popen([sys.executable, "-m", "http.server", "0", "--bind=127.0.0.1"])
    try:
        call(home, "down")
        assert not marked(home)
        assert other.poll() is None
        # And back to commands that bring their own services, on the same ports or on others.
        assert json.loads(call(home, "run", "--json").stdout)["predict"]["new"] == 0
        assert not marked(home)
        assert "was not up" in call(home, "down").stdout
        call(home, "status", code=1)
    finally:
        other.kill()
        other.wait()


def test_an_interrupted_up_leaves_nothing_half_started(tmp_path: Path) -> None:
    command = start(tmp_path / "home", "up")
    log = tmp_path / "home" / "logs" / "prefect.log"
    eventually(log.exists, 60)
    command.send_signal(signal.SIGINT)
    command.communicate(timeout=120)
    assert command.returncode == 130
    assert not marked(tmp_path / "home")
