"""The platform in containers, from start to recovery: it works, is disturbed, loses nothing.

Each disturbed run brings a further stretch of the sample into the lake, so that there is something
to lose. What an undisturbed run would leave is counted in the sample itself.
"""

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any

import httpx
import pytest
from bokeh_sampledata import stocks

from tests.apis import as_person
from tests.compose.sample import SYMBOLS, assert_whole
from tests.compose.stack import PAGES, Stack, await_that
from tests.e2e.superset_api import Api
from tests.stranger import EVIL, PUBLIC, Door, as_stranger, knock

CHART = "All symbols by expected change, five days ahead"
ADDRESSES = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"
HORIZONS = 5
DASHBOARDS = 6
HURT_SECONDS = 20
FIRST_END = date(2012, 9, 28)
# Fault, service, the step that it hits, and how far the run reads. The lake gets all kinds.
FAULTS = [
    ("kill", "seaweedfs", "land quotes", date(2012, 10, 12)),
    ("pause", "seaweedfs", "build marts with dbt", date(2012, 10, 26)),
    ("disconnect", "seaweedfs", "train candidates", date(2012, 11, 9)),
    ("kill", "clickhouse", "build marts with dbt", date(2012, 11, 23)),
    ("disconnect", "postgres", "train candidates", date(2012, 12, 7)),
    ("crash", "prefect", "land quotes", date(2012, 12, 21)),
    ("pause", "mlflow", "train candidates", date(2013, 1, 4)),
    ("kill", "worker", "build marts with dbt", date(2013, 1, 18)),
]


def ledger(stack: Stack) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """Every forecast that was kept, by its key; none is there twice."""
    rows = stack.sql(
        "select symbol, as_of_date, horizon, model_version, point, made_at from ml.forecasts"
    )
    found = {tuple(row.values())[:4]: tuple(row.values())[4:] for row in rows}
    assert len(found) == len(rows), "a forecast is in the ledger twice"
    return found


@contextmanager
def fault(stack: Stack, kind: str, service: str) -> Iterator[None]:
    """Break a service, then do what an operator would do to recover it."""
    name, network = stack.container(service), f"{stack.project}_data"
    hurt, heal = _means(stack, service, name, network)[kind]
    hurt()
    try:
        yield
    finally:
        heal()
        stack.await_health()


def _means(
    stack: Stack, service: str, name: str, network: str
) -> dict[str, tuple[Callable[[], Any], Callable[[], Any]]]:
    return {
        "kill": (lambda: stack.docker("kill", name), stack.up),
        "pause": (lambda: stack.docker("pause", name), lambda: stack.docker("unpause", name)),
        "disconnect": (
            lambda: stack.docker("network", "disconnect", "--force", network, name),
            lambda: stack.docker("network", "connect", "--alias", service, network, name),
        ),
        # Kills every process in the container at once; the engine restarts it automatically.
        "crash": (lambda: stack.docker("exec", name, "sh", "-c", "kill -9 -1"), lambda: None),
    }


@pytest.fixture(scope="module")
def first_run(stack: Stack) -> dict[str, Any]:
    """The main job, as the documentation has it, in a container of its own."""
    end = ("--end", FIRST_END.isoformat())
    shown = stack.compose("run", "--rm", "-T", "pipeline", "weekahead", "run", "--json", *end)
    report: dict[str, Any] = json.loads(shown)
    return report


def test_everything_is_healthy(stack: Stack) -> None:
    assert set(stack.health().values()) == {"healthy"}


def doors(stack: Stack) -> list[Door]:
    """Every port that a container does not keep to itself; the host reaches them all."""
    found = []
    for service in stack.health():
        name = stack.container(service)
        networks = stack.docker("inspect", "--format", ADDRESSES, name).split()
        lines = stack.docker("exec", name, "cat", "/proc/net/tcp", "/proc/net/tcp6").splitlines()
        sockets = {
            tuple(words[1].split(":")) for words in map(str.split, lines) if words[3] == "0A"
        }
        ports = {int(port, 16) for address, port in sockets if not address.strip("0")}
        found += [Door(service, port, address) for address in networks for port in ports]
    return found


def test_strangers_and_web_pages_get_nothing_from_any_port(stack: Stack) -> None:
    found = doors(stack)
    assert {door.name for door in found} >= {"seaweedfs", "clickhouse", "postgres", *PAGES}
    public: dict[str, set[str]] = {}
    for name, requests in PUBLIC.items():
        public.setdefault(name.partition(".")[0], set()).update(requests)
    answers = as_stranger(lambda: knock(found))
    # Airflow's page, which asks for a login, is the answer to every path.
    (page,) = {each.body for each in answers if (each.door, each.request) == ("airflow", "GET /")}
    assert [
        each
        for each in answers
        if each.request not in public[each.door] and (each.door, each.body) != ("airflow", page)
    ] == []
    evil = as_stranger(lambda: knock(found, host=EVIL, origin=f"http://{EVIL}"))
    assert {(each.door, each.request) for each in evil} <= {
        *(("seaweedfs", "GET /status"), ("seaweedfs", "GET /healthz"), ("mlflow", "GET /health")),
        *(("seaweedfs", "GET /v1/config"), ("mlflow", "GET /version")),
    }


def test_the_main_job_runs_in_a_container(stack: Stack, first_run: dict[str, Any]) -> None:
    assert first_run["exit_code"] == 0
    assert_whole(stack, FIRST_END)
    assert len(ledger(stack)) == len(SYMBOLS) * HORIZONS


@pytest.mark.parametrize(
    ("kind", "service", "step", "end"), FAULTS, ids=lambda value: str(value).replace(" ", "-")
)
def test_nothing_is_lost_when_a_service_is_hurt_in_the_middle_of_a_run(
    stack: Stack, first_run: dict[str, Any], kind: str, service: str, step: str, end: date
) -> None:
    before = ledger(stack)
    run = stack.start_run(end=end.isoformat())
    stack.await_step(run, step)
    with fault(stack, kind, service):
        time.sleep(HURT_SECONDS)
    state = stack.await_end(run)
    print(f"{kind} {service} in '{step}': {state}")
    if state != "COMPLETED":
        # It may fail, but loudly, and leaves nothing that the next run stumbles over.
        again = stack.start_run(end=end.isoformat())
        assert stack.await_end(again) == "COMPLETED"
    assert_whole(stack, end)
    after = ledger(stack)
    assert after.items() >= before.items(), "the ledger has lost forecasts, or changed them"
    newest = {key for key in after.keys() - before.keys() if key[1] == last_day(end)}
    assert len(newest) == len(SYMBOLS) * HORIZONS


def test_a_worker_that_is_told_to_stop_finishes_its_run(
    stack: Stack, first_run: dict[str, Any]
) -> None:
    run = stack.start_run("transform", full_refresh=True)
    stack.await_step(run, "build marts with dbt")
    stack.compose("stop", "worker")
    assert stack.prefect("GET", f"/flow_runs/{run}")["state_type"] == "COMPLETED"
    stack.up()
    stack.await_health()


def last_day(end: date) -> str:
    """The last trading day until a date."""
    return max(day for day in stocks.AAPL["date"] if day <= end.isoformat())


def test_airflow_runs_the_main_job_through_prefect(stack: Stack, first_run: dict[str, Any]) -> None:
    dag = "/dags/weekahead_daily"
    await_that(
        lambda: stack.airflow("GET", "/dags?dag_id_pattern=weekahead_daily")["total_entries"],
        lambda: "the DAG",
        120,
    )
    started = stack.airflow("POST", f"{dag}/dagRuns", {"logical_date": None})["dag_run_id"]
    stack.airflow("PATCH", dag, {"is_paused": False})

    def state() -> str | None:
        found = stack.airflow("GET", f"{dag}/dagRuns/{started}")["state"]
        return found if found in {"success", "failed"} else None

    assert await_that(state, lambda: f"the end of {started}", 900) == "success"
    runs = [
        run
        for run in stack.prefect("POST", "/flow_runs/filter", {"sort": "START_TIME_DESC"})
        if run["labels"].get("airflow.run_id") == started
    ]
    assert sorted(run["labels"]["airflow.task_id"] for run in runs) == [
        *("ingest", "predict", "score", "transform"),
    ]
    assert {run["state_type"] for run in runs} == {"COMPLETED"}
    assert_whole(stack, date.max)


def test_superset_shows_what_the_marts_hold(stack: Stack, first_run: dict[str, Any]) -> None:
    api = Api(stack.url("superset"), stack.logins["superset"][1])
    charts = api.call("GET", "chart/?q=(page_size:100,columns:!(slice_name,params,datasource_id))")
    chart = next(each for each in charts["result"] if each["slice_name"] == CHART)
    form = json.loads(chart["params"])
    asked = {
        "datasource": {"id": chart["datasource_id"], "type": "table"},
        "queries": [
            {
                "columns": form["groupby"],
                "metrics": form["metrics"],
                "extras": {"where": form["adhoc_filters"][0]["sqlExpression"]},
                "row_limit": form["row_limit"],
            }
        ],
        "result_format": "json",
        "result_type": "full",
    }
    (answer,) = api.call("POST", "chart/data", asked)["result"]
    assert sorted(row["symbol"] for row in answer["data"]) == list(SYMBOLS)
    marts = stack.sql(
        "select symbol, last_close from marts.fct_forecasts where is_latest and horizon = 5",
        engine="clickhouse",
    )
    shown = {row["symbol"]: row["Last close"] for row in answer["data"]}
    assert shown == {row["symbol"]: row["last_close"] for row in marts}


def accepts(stack: Stack, name: str, password: str) -> dict[str, bool]:
    """Which services let a person in."""
    login = {"username": name, "password": password}
    superset = {**login, "provider": "db", "refresh": False}
    (address,) = stack.docker("inspect", "-f", ADDRESSES, stack.container("clickhouse")).split()
    search = f"{stack.url('mlflow')}/api/2.0/mlflow/experiments/search?max_results=1"
    warehouse = f"http://{address}:8123/?query=SELECT%201"
    answers = {
        "clickhouse": as_person(warehouse, name, password, Host="clickhouse")[0],
        "mlflow": as_person(search, name, password)[0],
        "superset": httpx.post(
            f"{stack.url('superset')}/api/v1/security/login", json=superset
        ).status_code,
        "airflow": httpx.post(f"{stack.url('airflow')}/auth/token", json=login).status_code,
    }
    return {service: status in (200, 201) for service, status in answers.items()}


def test_a_person_has_an_account_in_every_service_until_it_is_removed(stack: Stack) -> None:
    def user(*words: str) -> str:
        """The last word that is printed is the password, if there is one."""
        shown = stack.compose("run", "--rm", "-T", "secrets", "user", *words)
        stack.compose("up", "--detach", "--force-recreate", "--no-build", "--wait")
        found = re.search(r"shown only now\): (\S+)", shown)
        return found[1] if found else ""

    password = user("add", "anna", "analyst")
    services = ("clickhouse", "mlflow", "superset", "airflow")
    assert accepts(stack, "anna", password) == dict.fromkeys(services, True)
    api = Api(stack.url("superset"), password, user="anna")
    assert api.call("GET", "dashboard/?q=(page_size:10)")["count"] == DASHBOARDS
    refused = stack.attempt(
        *("docker", "compose", "run", "--rm", "-T", "secrets", "user", "add", "anna", "viewer")
    )
    assert refused.returncode == 1 and "already has an account" in refused.stderr
    user("remove", "anna")
    assert accepts(stack, "anna", password) == dict.fromkeys(services, False)
