"""A real Airflow and a real Prefect server with a worker, shared by the tests of this folder."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from deploy.local import airflow, prefect
from deploy.local.lifecycle import using
from deploy.local.service import Service
from lakehouse.home import Home, open_home
from lakehouse.settings import Settings
from tests.integration.airflow.world import HERE, World, await_that, has_worker


@pytest.fixture(scope="session")
def airflow_home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home directory with Airflow installed as its lock file says."""
    home = open_home(tmp_path_factory.mktemp("airflow"))
    airflow.install(home)
    return home


@pytest.fixture(scope="session")
def world(airflow_home: Home) -> Iterator[World]:
    """Prefect's server and worker, and the four processes of Airflow."""
    home = airflow_home
    settings = Settings(home=home.path, services={"start_timeout_seconds": 180}, _env_file=None)  # type: ignore[call-arg, arg-type]
    with using(settings) as (stack, _):
        world = World(stack)
        world.start(prefect.short_lived(settings, home, stack.secrets))
        filled = stack.filled([world.services["prefect"]])
        variables = prefect.client_environment(filled) | {
            "PREFECT_HOME": str(home.data("prefect")),
            "PREFECT_WORKER_QUERY_SECONDS": "1",
        }
        world.start(
            Service(
                name="worker",
                ports={},
                command=lambda _: [
                    *(sys.executable, "-m", "prefect"),
                    *("worker", "start", "--pool=light", "--type=process"),
                ],
                ready=lambda _: has_worker(world),
                environment=variables,
            )
        )
        subprocess.run(
            [sys.executable, str(HERE / "light_flows.py")],
            check=True,
            env=os.environ | variables,
        )
        airflow.prepare(filled, home, stack.secrets)
        (airflow.dag_folder(home) / "cases.py").symlink_to(HERE / "light_dags.py")
        for service in airflow.services(filled, home, stack.secrets):
            world.start(service)
        await_that(
            lambda: world.airflow("GET", "/dags?dag_id_pattern=impatient")["total_entries"],
            "the DAGs are known",
            90,
        )
        yield world
