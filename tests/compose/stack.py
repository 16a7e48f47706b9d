"""The containers for tests: compose's commands, and the services' own APIs."""

import json
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.apis import call_airflow, call_prefect

ROOT = Path(__file__).parents[2]
FILES = ("docker-compose.yml", "deploy/compose/no-registry.yml", "tests/compose/quick.yml")
BASE_IMAGE = os.environ.get("BASE_IMAGE", "weekahead/base:bookworm")
LEAST_COMPOSE = (2, 20)
FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
# Generous, because tests share their machine.
START_SECONDS = 600
RUN_SECONDS = 600
BUILD_SECONDS = 1800
IN_PIPELINE = ("run", "--rm", "--no-deps", "-T", "pipeline")
PAGES = ("prefect", "mlflow", "superset", "airflow")


@dataclass
class Stack:
    """One compose project, with its own ports so that it does not disturb others."""

    project: str
    ports: dict[str, int]
    environment: dict[str, str]
    logins: dict[str, tuple[str, str]] = field(default_factory=dict)

    # --- containers ------------------------------------------------------------------------------

    def compose(self, *arguments: str, timeout: float = START_SECONDS) -> str:
        """Output of a compose command, which must succeed."""
        return self._command("docker", "compose", *arguments, timeout=timeout)

    def docker(self, *arguments: str) -> str:
        """Output of a Docker command, which must succeed."""
        return self._command("docker", *arguments, timeout=START_SECONDS)

    def up(self) -> None:
        """Start what is missing, as users do; wait until everything is healthy."""
        self.compose("up", "--detach", "--wait", "--no-build")

    def pipeline(self, *command: str) -> str:
        """Output of a command in its own container, next to the running services."""
        return self.compose(*IN_PIPELINE, *command)

    def try_pipeline(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """The same for a command that may fail."""
        return self.attempt("docker", "compose", *IN_PIPELINE, *command)

    def container(self, service: str) -> str:
        """Name of a service's container."""
        return f"{self.project}-{service}-1"

    def health(self) -> dict[str, str]:
        """The engine's health status of every long-running service."""
        lines = self.compose("ps", "--all", "--format", "json").splitlines()
        found = [json.loads(line) for line in lines]
        return {
            each["Service"]: each["Health"] or each["State"]
            for each in found
            if not (each["State"] == "exited" and each["ExitCode"] == 0)
        }

    def await_health(self) -> None:
        """Wait until the stack has recovered."""
        await_that(
            lambda: set(self.health().values()) == {"healthy"},
            lambda: f"every service healthy: {self.health()}",
            START_SECONDS,
        )

    def attempt(
        self, *command: str, timeout: float = START_SECONDS
    ) -> "subprocess.CompletedProcess[str]":
        """A command with this project's settings, which may fail."""
        return subprocess.run(
            command,
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def _command(self, *command: str, timeout: float) -> str:
        done = self.attempt(*command, timeout=timeout)
        shown = f"{' '.join(command)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert done.returncode == 0, shown[-8000:]
        return done.stdout

    # --- services --------------------------------------------------------------------------------

    def url(self, service: str) -> str:
        """Address of a published service."""
        return f"http://127.0.0.1:{self.ports[service]}"

    def read_logins(self) -> None:
        """Read the logins as users do: ``docker compose run --rm secrets show``."""
        shown = self.compose("run", "--rm", "-T", "secrets", "show")
        for line in shown.splitlines():
            if found := re.match(r"(\w+) +(\w+)(?::| / )(\w+)", line):
                service, user, password = found.groups()
                self.logins[service.lower()] = (user, password)

    def prefect(self, method: str, path: str, body: Any = None) -> Any:
        """Call Prefect's API."""
        return call_prefect(
            f"{self.url('prefect')}/api", self.logins["prefect"], method, path, body
        )

    def airflow(self, method: str, path: str, body: Any = None) -> Any:
        """Call Airflow's API."""
        return call_airflow(self.url("airflow"), self.logins["airflow"], method, path, body)

    # --- runs and what they leave ----------------------------------------------------------------

    def start_run(self, flow: str = "weekahead", **parameters: Any) -> str:
        """Start a deployment, by default the main job; the worker picks it up."""
        deployment = self.prefect("GET", f"/deployments/name/{flow}/{flow}")["id"]
        body = {"parameters": parameters, "state": {"type": "SCHEDULED"}}
        return str(self.prefect("POST", f"/deployments/{deployment}/create_flow_run", body)["id"])

    def await_step(self, run_id: str, name: str) -> None:
        """Wait until a run is in the middle of a step."""

        def running() -> bool:
            # Each stage of the main job is a subflow run.
            inside = {"flow_runs": {"parent_flow_run_id": {"any_": [run_id]}}}
            stages = self.prefect("POST", "/flow_runs/filter", inside)
            chosen = {"flow_runs": {"id": {"any_": [run_id, *(each["id"] for each in stages)]}}}
            steps = self.prefect("POST", "/task_runs/filter", chosen)
            states = {step["name"].rpartition("-")[0]: step["state_type"] for step in steps}
            state = self.prefect("GET", f"/flow_runs/{run_id}")["state_type"]
            assert state not in FINAL, f"{state} before '{name}': {states}"
            return states.get(name) == "RUNNING"

        await_that(running, lambda: f"step '{name}' of {run_id}", RUN_SECONDS)

    def await_end(self, run_id: str) -> str:
        """The final state of a run; Prefect's server may be unavailable meanwhile."""

        def state() -> str | None:
            try:
                found = self.prefect("GET", f"/flow_runs/{run_id}")["state_type"]
            except httpx.HTTPError:
                return None
            return found if found in FINAL else None

        return str(await_that(state, lambda: f"the end of run {run_id}", RUN_SECONDS))

    def sql(self, query: str, *, engine: str = "duckdb") -> list[dict[str, Any]]:
        """Rows from the lake or the warehouse."""
        shown = self.pipeline("weekahead", "sql", "--engine", engine, "--format", "json", query)
        rows: list[dict[str, Any]] = json.loads(shown)
        return rows


def await_that(condition: Callable[[], Any], what: Callable[[], str], seconds: float) -> Any:
    """Wait until the condition is true; returns its value."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what()}"
        time.sleep(1)
    return found


def new_stack(project: str, *files: str, profiles: str = "") -> Stack:
    """A project with further compose files, not started yet; without a profile, the core."""
    ports = dict(zip(PAGES, free_ports(len(PAGES)), strict=True))
    # Overrides variables of the shell.
    variables = os.environ | {
        "COMPOSE_PROJECT_NAME": project,
        "COMPOSE_FILE": ":".join([*FILES, *files]),
        "COMPOSE_PROFILES": profiles,
        "BASE_IMAGE": BASE_IMAGE,
        "DEBIAN_IMAGE": BASE_IMAGE,
        **{f"PORT_{name.upper()}": str(port) for name, port in ports.items()},
    }
    return Stack(project, ports, variables)


@contextmanager
def removed_at_the_end(stack: Stack) -> Iterator[Stack]:
    """Build the images, start with a clean project, and remove it afterwards."""
    preflight()
    # What an interrupted session left behind.
    stack.compose("down", "--volumes", "--remove-orphans")
    stack.compose("--progress", "plain", "build", timeout=BUILD_SECONDS)
    try:
        yield stack
    except BaseException:
        print(stack.attempt("docker", "ps", "--all").stdout)
        raise
    finally:
        if not os.environ.get("KEEP_CONTAINERS"):
            stack.compose("down", "--volumes", "--remove-orphans")


def preflight() -> None:
    """Report missing prerequisites up front."""
    if not shutil.which("docker"):
        pytest.exit("There is no 'docker' here: these tests need a Docker engine.", returncode=2)
    needs = {
        "A running Docker engine": ["docker", "version", "--format", "{{.Server.Version}}"],
        "The compose plug-in": ["docker", "compose", "version", "--short"],
        f"The base image {BASE_IMAGE} (deploy/compose/make-base-image.sh {BASE_IMAGE} makes it, or "
        "BASE_IMAGE names another)": ["docker", "image", "inspect", BASE_IMAGE],
    }
    answers = {}
    for what, command in needs.items():
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.exit(f"{what} is missing: {done.stderr.strip()}", returncode=2)
        answers[what] = done.stdout
    version = answers["The compose plug-in"].strip()
    numbers = tuple(map(int, re.findall(r"\d+", version)[:2]))
    if numbers < LEAST_COMPOSE:
        pytest.exit(f"Compose 2.20 or later is needed; this is {version}.", returncode=2)


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
