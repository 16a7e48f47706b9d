"""Airflow starts Prefect runs, follows them, and both agree on how they ended."""

import json
import time

import pytest

from tests.homes import call
from tests.integration.airflow.world import World, await_that

OUTAGE_SECONDS = 60


def test_daily_dag_runs_its_stages_in_order(world: World) -> None:
    # Unpausing starts the run of the last trading day.
    world.airflow("PATCH", "/dags/weekahead_daily", {"is_paused": False})
    run_id = await_that(
        lambda: next(
            (
                run["dag_run_id"]
                for run in world.airflow("GET", "/dags/weekahead_daily/dagRuns")["dag_runs"]
            ),
            None,
        ),
        "a scheduled run",
        120,
    )
    world.await_task("weekahead_daily", run_id, "success", task_id="score", timeout=300)
    world.airflow("PATCH", "/dags/weekahead_daily", {"is_paused": True})

    runs = {run["labels"]["airflow.task_id"]: run for run in world.runs(run_id)}
    order = sorted(runs, key=lambda task: runs[task]["start_time"])
    assert order == ["ingest", "transform", "predict", "score"]
    assert all(run["state_type"] == "COMPLETED" for run in runs.values())
    # Parameters that are not set keep the deployment's defaults.
    assert runs["ingest"]["parameters"] == {}
    assert runs["transform"]["parameters"] == {"full_refresh": False}
    made = world.airflow("GET", "/assets/events?source_dag_id=weekahead_daily")["asset_events"]
    origin = {event["source_task_id"]: event["extra"]["flow_run_id"] for event in made}
    assert origin == {task: run["id"] for task, run in runs.items()}
    # The same work as that of the command which the home began with: nothing is left to do.
    again = json.loads(call(world.stack.home.path, "run", "--json").stdout)
    assert (again["transform"], again["predict"]["new"]) == (None, 0)


def test_failure_is_retried_with_a_new_run_and_told(world: World) -> None:
    run_id = world.trigger("retried", fail="no quotes today")
    task = world.await_task("retried", run_id, "failed")
    assert task["try_number"] == 2
    runs = world.runs(run_id)
    assert [run["state_type"] for run in runs] == ["FAILED", "FAILED"]
    latest = max(runs, key=lambda run: run["labels"]["airflow.try_number"])
    log = world.task_log("retried", run_id, try_number=2)
    assert "no quotes today" in log
    assert f"/runs/flow-run/{latest['id']}" in log
    for state in ("Scheduled", "Pending", "Running", "Failed"):
        assert f"Prefect run {latest['name']}: {state}" in log


def test_clearing_a_task_starts_anew(world: World) -> None:
    run_id = world.trigger("plain")
    world.await_task("plain", run_id, "success")
    body = {"dry_run": False, "dag_run_id": run_id, "only_failed": False}
    world.airflow("POST", "/dags/plain/clearTaskInstances", body)
    await_that(lambda: len(world.runs(run_id)) == 2, "a second run", 60)
    world.await_task("plain", run_id, "success")


@pytest.fixture(scope="module")
def waiting(world: World) -> dict[str, str]:
    """Runs that would take minutes, by DAG; all work when the first test begins."""
    run_ids = {
        dag_id: world.trigger(dag_id, seconds=300.0)
        for dag_id in ("plain", "held", "limited", "retried")
    }
    for run_id in run_ids.values():
        world.await_run(run_id, "RUNNING", "CANCELLED")
    return run_ids


def test_link_opens_the_run_while_the_task_waits(world: World, waiting: dict[str, str]) -> None:
    run_id = waiting["plain"]
    path = f"/dags/plain/dagRuns/{run_id}/taskInstances/run/links"
    link = world.airflow("GET", path)["extra_links"]["Prefect run"]
    base = world.prefect_url.removesuffix("/api")
    assert link == f"{base}/runs/flow-run/{world.runs(run_id)[0]['id']}"


@pytest.mark.parametrize("dag_id", ["plain", "held"])
def test_failing_a_task_in_airflow_cancels_the_run(
    world: World, waiting: dict[str, str], dag_id: str
) -> None:
    world.mark_failed(dag_id, waiting[dag_id])
    world.await_run(waiting[dag_id], "CANCELLED")


def test_run_cancelled_in_prefect_fails_the_task_for_good(
    world: World, waiting: dict[str, str]
) -> None:
    run_id = waiting["retried"]
    world.cancel_in_prefect(world.runs(run_id)[0]["id"])
    task = world.await_task("retried", run_id, "failed")
    # A retry would undo a deliberate cancellation: it would start another run.
    assert len(world.runs(run_id)) == 1
    assert "CANCELLED" in world.task_log("retried", run_id, task["try_number"])


def test_time_limit_cancels_the_run(world: World, waiting: dict[str, str]) -> None:
    run_id = waiting["limited"]
    world.await_task("limited", run_id, "failed")
    world.await_run(run_id, "CANCELLED")
    assert "time limit" in world.task_log("limited", run_id)


def test_prefect_may_be_down_for_a_minute(world: World) -> None:
    patient = world.trigger("plain", seconds=OUTAGE_SECONDS + 20.0)
    impatient = world.trigger("impatient", seconds=OUTAGE_SECONDS + 30.0)
    for run_id in (patient, impatient):
        world.await_run(run_id, "RUNNING")
    world.kill("prefect")
    down_since = time.monotonic()
    world.await_task("impatient", impatient, "up_for_retry")
    time.sleep(max(0.0, down_since + OUTAGE_SECONDS - time.monotonic()))
    world.start("prefect")

    assert world.await_task("plain", patient, "success", "failed")["state"] == "success"
    assert "Prefect is back" in world.task_log("plain", patient)
    retried = world.await_task("impatient", impatient, "success", "failed")
    # The second try has found the run of the first one.
    assert (retried["state"], retried["try_number"]) == ("success", 2)
    assert len(world.runs(impatient)) == 1
    assert len(world.runs(patient)) == 1


def test_airflow_may_be_restarted_in_the_middle(world: World) -> None:
    run_id = world.trigger("plain", seconds=20.0)
    world.await_run(run_id, "RUNNING")
    for name in ("airflow-scheduler", "airflow-triggerer"):
        world.kill(name)
        world.start(name)
    task = world.await_task("plain", run_id, "success", "failed", timeout=120)
    assert (task["state"], task["try_number"]) == ("success", 1)
    assert len(world.runs(run_id)) == 1
