"""The local stack with Airflow, on what a run has left, shared by the tests of this folder."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local import airflow, prefect
from deploy.local.lifecycle import described, using
from deploy.local.service import Service
from lakehouse.home import Home, open_home
from tests.homes import call, copied, settings_of, shared_environment
from tests.integration.airflow.world import HERE, World, await_that, has_worker


@pytest.fixture(scope="session")
def airflow_home(tmp_path_factory: pytest.TempPathFactory, run_home: Path, templates: Path) -> Home:
    """A home after a run, with Airflow installed as its lock file says."""
    home = copied(run_home, tmp_path_factory.mktemp("airflow") / "home")
    shared_environment(home, airflow.NAME, templates)
    return open_home(home)


def pytest_runtest_teardown(item: pytest.Function, nextitem: pytest.Item | None) -> None:
    """Stop the stack after the last test that uses it; its servers would work beside all others."""
    following = getattr(nextitem, "fixturenames", ())
    if "world" in item.fixturenames and "world" not in following:
        call(item.funcargs["world"].stack.home.path, "down")


@pytest.fixture(scope="session")
def world(airflow_home: Home) -> Iterator[World]:
    """The stack with Airflow, and a worker of light flows beside its own."""
    home = airflow_home
    dags = airflow.dag_folder(home)
    dags.mkdir(parents=True)
    (dags / "cases.py").symlink_to(HERE / "light_dags.py")
    call(home.path, "up", "--with", "airflow")
    try:
        with using(settings_of(home.path)) as (stack, _):
            services = {service.name: service for service in described(stack)}
            world = World(stack, services)
            variables = prefect.client_environment(stack.filled([services["prefect"]])) | {
                "PREFECT_HOME": str(home.data("light-worker")),
                # A worker gives up after some 44 times this without a server.
                "PREFECT_WORKER_QUERY_SECONDS": "3",
            }
            command = [sys.executable, "-m", "prefect"]
            world.start(
                Service(
                    name="light-worker",
                    ports={},
                    command=lambda _: [*command, "worker", "start", "--pool=light"],
                    ready=lambda _: has_worker(world),
                    environment=variables,
                    prepare=lambda _: subprocess.run(
                        [sys.executable, str(HERE / "light_flows.py")],
                        check=True,
                        env=os.environ | variables,
                    ),
                )
            )
            await_that(
                lambda: world.airflow("GET", "/dags?dag_id_pattern=impatient")["total_entries"],
                "the DAGs are known",
                240,
            )
            yield world
    finally:
        call(home.path, "down")
