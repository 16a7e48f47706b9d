"""Runs in Airflow's environment, against the real Prefect server that BRIDGE_PREFECT_URL names.

tests/integration/airflow/test_bridge.py starts the server and both environments. No worker is
needed: ``Hands`` reports what a worker would.
"""

import json
import os
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

URL = os.environ["BRIDGE_PREFECT_URL"]
USER, PASSWORD = os.environ["BRIDGE_PREFECT_AUTH"].split(":")
PARAMETERS = {
    "type": "object",
    "properties": {"count": {"type": "integer", "title": "count"}},
}


def address(url: str = URL, password: str = PASSWORD) -> str:
    """The value of an environment variable that defines the connection."""
    return json.dumps({"conn_type": "prefect", "host": url, "login": USER, "password": password})


@pytest.fixture(scope="session", autouse=True)
def database(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Airflow's database, in a home of its own."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.utils.db import initdb

    assert Path(os.environ["AIRFLOW_HOME"]).is_dir()
    initdb()
    DagBundlesManager().sync_bundles_to_db()


@pytest.fixture(autouse=True)
def connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_PREFECT_DEFAULT", address())
    # Here no scheduler has to hear of a task's pause: tests/integration/airflow has one.
    monkeypatch.setattr("weekahead_airflow.trigger.SETTLE_SECONDS", 0.0)


class Prefect:
    """The server, seen with the eyes of a worker and an administrator."""

    def __init__(self) -> None:
        self.client = httpx.Client(base_url=URL, auth=(USER, PASSWORD), timeout=30)

    def post(self, path: str, body: object) -> dict:
        response = self.client.post(path, json=body)
        response.raise_for_status()
        return response.json()

    def deploy(self, flow: str) -> str:
        flow_id = self.post("/flows/", {"name": flow})["id"]
        body = {
            "name": flow,
            "flow_id": flow_id,
            "parameter_openapi_schema": PARAMETERS if flow == "strict" else None,
            "enforce_parameter_schema": flow == "strict",
        }
        return self.post("/deployments/", body)["id"]

    def runs(self, flow: str) -> list[dict]:
        body = {"flows": {"name": {"any_": [flow]}}, "sort": "EXPECTED_START_TIME_ASC"}
        return self.post("/flow_runs/filter", body)

    def state(self, run_id: str) -> str:
        return self.client.get(f"/flow_runs/{run_id}").json()["state"]["type"]

    def report(self, run_id: str, state: str, message: str = "") -> None:
        body = {"state": {"type": state, "message": message}, "force": True}
        self.post(f"/flow_runs/{run_id}/set_state", body)


@pytest.fixture(scope="session")
def prefect() -> Prefect:
    server = Prefect()
    for flow in ("free", "strict", "ingest", "transform", "train", "predict", "score"):
        server.deploy(flow)
    return server


@pytest.fixture
def hands(prefect: Prefect) -> Iterator["Hands"]:
    """A worker that picks up each scheduled run and ends it as requested."""
    worker = Hands(prefect)
    worker.start()
    yield worker
    worker.stop.set()
    worker.join()


class Hands(threading.Thread):
    def __init__(self, prefect: Prefect) -> None:
        super().__init__(daemon=True)
        self.prefect = prefect
        self.stop = threading.Event()
        self.ending = "COMPLETED"

    def run(self) -> None:
        scheduled = {"flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}}
        while not self.stop.wait(0.1):
            for run in self.prefect.post("/flow_runs/filter", scheduled):
                self.prefect.report(run["id"], "RUNNING")
                for state in self.ending.split():
                    self.prefect.report(run["id"], state, f"the end: {self.ending}")


@pytest.fixture
def flaky() -> Iterator["Flaky"]:
    """A gateway before Prefect that can be busy."""
    gateway = Flaky()
    threading.Thread(target=gateway.serve_forever, daemon=True).start()
    yield gateway
    gateway.shutdown()


class Flaky(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Forward)
        self.refusals: list[int] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}/api"


class _Forward(BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.server.refusals:
            status, content = self.server.refusals.pop(0), b"busy"
        else:
            answer = httpx.request(
                self.command,
                URL.removesuffix("/api") + self.path,
                content=body,
                headers={
                    name: self.headers[name]
                    for name in ("Authorization", "Content-Type")
                    if name in self.headers
                },
                timeout=30,
            )
            status, content = answer.status_code, answer.content
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = _forward


def wait_until(condition, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
