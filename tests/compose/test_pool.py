"""A Docker work pool beside the stack: each run in a container of its own, of our image.

The worker has the engine's socket, so it runs on the engine's machine, in an environment of its
own with prefect-docker.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from tests.compose.sample import assert_whole
from tests.compose.stack import ROOT, Stack, await_that, new_stack, removed_at_the_end
from tests.integration.chserver.conftest import own_python

POOL = "weekahead-docker"
TEMPLATE = ROOT / "deploy" / "work-pools" / "docker.json"
LABEL = "io.prefect.flow-run-id"


@pytest.fixture(scope="module")
def stack(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """The core, its deployments in a Docker pool, and a worker outside of the containers."""
    folder = tmp_path_factory.mktemp("pool")
    packages = ("prefect-docker", f"prefect=={version('prefect')}")
    prefect = own_python(request, "prefect-docker", *packages).with_name("prefect")
    with removed_at_the_end(new_stack("weekahead-test-pool")) as stack:
        stack.up()
        stack.read_logins()
        template = folder / "docker.json"
        # The template names the networks and volumes of the project "weekahead".
        template.write_text(TEMPLATE.read_text().replace('"weekahead_', f'"{stack.project}_'))
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")
        } | {
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_API_URL": f"{stack.url('prefect')}/api",
            "PREFECT_API_AUTH_STRING": ":".join(stack.logins["prefect"]),
            "PREFECT_WORKER_QUERY_SECONDS": "3",
        }
        create = ("work-pool", "create", POOL, "--type", "docker", "--base-job-template", template)
        subprocess.run([prefect, "--no-prompt", *create], env=environment, check=True)
        _register(stack, folder)
        with (folder / "worker.log").open("w") as log:
            worker = subprocess.Popen(
                [prefect, "worker", "start", f"--pool={POOL}"],
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            try:
                yield stack
            finally:
                # Told to end, it waits forever once a run's container has been killed.
                worker.kill()
                worker.wait(60)
                print((folder / "worker.log").read_text()[-4000:])


def _register(stack: Stack, folder: Path) -> None:
    """As docs/prefect.md says: a copy of the deployments that names the pool."""
    copy = folder / "prefect.yaml"
    deployments = (ROOT / "deploy" / "prefect.yaml").read_text()
    copy.write_text(deployments.replace("    name: weekahead\n", f"    name: {POOL}\n"))
    mount = f"{copy}:/opt/prefect.yaml:ro"
    register = ("python3", "-m", "flows.register", "/opt/prefect.yaml")
    stack.compose("run", "--rm", "-T", "--no-deps", "-v", mount, "pipeline", *register)


def container_of(stack: Stack, run: str) -> list[str]:
    """The container of a run, while there is one."""
    return stack.docker("ps", "--quiet", f"--filter=label={LABEL}={run}").split()


def inspected(stack: Stack, container: str) -> dict[str, Any]:
    """What the engine tells everyone who may use it."""
    (found,) = json.loads(stack.docker("inspect", container))
    return dict(found)


def gone(stack: Stack, run: str) -> None:
    """Wait until the run has left no container."""
    every = ("ps", "--all", "--quiet", f"--filter=label={LABEL}={run}")
    await_that(lambda: not stack.docker(*every), lambda: f"the end of {run}'s container", 120)


def test_a_run_has_a_container_of_its_own_with_few_rights_and_no_secret_in_sight(
    stack: Stack,
) -> None:
    end = date(2012, 9, 28)
    run = stack.start_run(end=end.isoformat())
    stack.await_step(run, "train candidates")
    (container,) = container_of(stack, run)
    found = inspected(stack, container)
    assert found["Config"]["User"] == "10001:10001"
    assert found["HostConfig"]["CapDrop"] == ["ALL"]
    assert found["HostConfig"]["ReadonlyRootfs"] and not found["HostConfig"]["Privileged"]
    assert stack.logins["prefect"][1] not in json.dumps(found)
    secrets = stack.docker("exec", container, "cat", "/secrets/env")
    for line in secrets.splitlines():
        name, _, value = line.partition("=")
        assert value.strip("'\"") not in json.dumps(found), name
    assert stack.await_end(run) == "COMPLETED"
    assert_whole(stack, end)
    gone(stack, run)


def test_a_cancelled_run_loses_its_container_and_the_next_one_completes(stack: Stack) -> None:
    end = date(2012, 10, 12)
    run = stack.start_run(end=end.isoformat())
    stack.await_step(run, "build marts with dbt")
    stack.prefect("POST", f"/flow_runs/{run}/set_state", {"state": {"type": "CANCELLING"}})
    assert stack.await_end(run) == "CANCELLED"
    gone(stack, run)
    assert stack.await_end(stack.start_run(end=end.isoformat())) == "COMPLETED"
    assert_whole(stack, end)


def test_a_killed_container_is_a_crashed_run_and_loses_nothing(stack: Stack) -> None:
    end = date(2012, 10, 26)
    run = stack.start_run(end=end.isoformat())
    stack.await_step(run, "build marts with dbt")
    stack.docker("kill", *container_of(stack, run))
    assert stack.await_end(run) == "CRASHED"
    gone(stack, run)
    assert stack.await_end(stack.start_run(end=end.isoformat())) == "COMPLETED"
    assert_whole(stack, end)
