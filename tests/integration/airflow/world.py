"""A real Airflow beside a real Prefect, as the tests see them."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from deploy.local import airflow
from deploy.local.service import HOST, Service
from deploy.local.stack import Stack
from tests.apis import call_airflow, call_prefect

HERE = Path(__file__).parent


@dataclass
class World:
    """Both systems, and what the tests do with them."""

    stack: Stack
    services: dict[str, Service] = field(default_factory=dict)

    def start(self, *services: Service | str) -> None:
        """Have services running, by their description or, later, by name."""
        wanted = [self.services[s] if isinstance(s, str) else s for s in services]
        self.services |= {service.name: service for service in wanted}
        self.stack.ensure(wanted)

    def kill(self, name: str) -> None:
        """As kill -9 of the process and all that it has started; it stays down."""
        process = psutil.Process(self.stack.manager.programs()[name].pid)
        family = [process, *process.children(recursive=True)]
        for each in family:
            each.kill()
        psutil.wait_procs(family, 10)
        self.stack.manager.halt(name)

    def url(self, name: str) -> str:
        return f"http://{HOST}:{self.stack.state.ports[name]['api']}"

    @property
    def prefect_url(self) -> str:
        return f"{self.url('prefect')}/api"

    @property
    def airflow_url(self) -> str:
        return self.url(airflow.API_SERVER)

    @property
    def secrets(self) -> dict[str, str]:
        return self.stack.secrets

    def prefect(self, method: str, path: str, body: Any = None) -> Any:
        login = ("weekahead", self.secrets["prefect"])
        return call_prefect(self.prefect_url, login, method, path, body)

    def airflow(self, method: str, path: str, body: Any = None) -> Any:
        login = (airflow.USER, self.secrets["airflow"])
        return call_airflow(self.airflow_url, login, method, path, body)

    def trigger(self, dag_id: str, **conf: Any) -> str:
        body = {"logical_date": None, "conf": conf}
        return str(self.airflow("POST", f"/dags/{dag_id}/dagRuns", body)["dag_run_id"])

    def task(self, dag_id: str, run_id: str, task_id: str = "run") -> dict[str, Any]:
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"
        found: dict[str, Any] = self.airflow("GET", path)
        return found

    def mark_failed(self, dag_id: str, run_id: str) -> None:
        """As the button in Airflow does."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/run"
        self.airflow("PATCH", path, {"new_state": "failed"})

    def cancel_in_prefect(self, flow_run_id: str) -> None:
        """As the button in Prefect does."""
        state = {"type": "CANCELLING", "message": "Cancelled by hand"}
        self.prefect("POST", f"/flow_runs/{flow_run_id}/set_state", {"state": state})

    def task_log(self, dag_id: str, run_id: str, try_number: int = 1) -> str:
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/run/logs/{try_number}"
        return str(self.airflow("GET", f"{path}?full_content=true"))

    def runs(self, run_id: str) -> list[dict[str, Any]]:
        """The Prefect runs that an Airflow run has started."""
        everything = self.prefect("POST", "/flow_runs/filter", {"sort": "START_TIME_DESC"})
        return [run for run in everything if run["labels"].get("airflow.run_id") == run_id]

    def await_task(
        self, dag_id: str, run_id: str, *states: str, task_id: str = "run", timeout: float = 240
    ) -> dict[str, Any]:
        return await_that(
            lambda: (
                found if (found := self.task(dag_id, run_id, task_id))["state"] in states else None
            ),
            f"{dag_id} {run_id} {task_id} in {states}",
            timeout,
        )

    def await_run(self, run_id: str, *states: str, timeout: float = 180) -> dict[str, Any]:
        return await_that(
            lambda: next((run for run in self.runs(run_id) if run["state_type"] in states), None),
            f"a Prefect run of {run_id} in {states}",
            timeout,
        )


def await_that(condition: Callable[[], Any], what: str, timeout: float) -> Any:
    deadline = time.monotonic() + timeout
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {timeout} s: {what}"
        time.sleep(0.5)
    return found


def has_worker(world: World) -> bool:
    try:
        return bool(world.prefect("POST", "/work_pools/light/workers/filter", {}))
    except httpx.HTTPError:
        return False
