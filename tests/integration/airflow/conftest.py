"""A real Airflow and a real Prefect server with a worker, shared by the tests of this folder."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from deploy.local import airflow
from deploy.local.service import HOST, Service, choose_ports, stop, tail
from lakehouse.home import Home, load_secrets, open_home
from lakehouse.settings import Settings
from tests.integration.airflow.world import HERE, World, answers, await_that, has_worker


@pytest.fixture(scope="session")
def airflow_home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home directory with Airflow installed as its lock file says."""
    home = open_home(tmp_path_factory.mktemp("airflow"))
    airflow.install(home)
    return home


@pytest.fixture(scope="session")
def world(airflow_home: Home) -> Iterator[World]:
    """Prefect's server and worker, and the four processes of Airflow."""
    home, secrets = airflow_home, load_secrets(airflow_home)
    ports = choose_ports({"prefect": {"api": 0}, "worker": {}, airflow.API_SERVER: {"api": 0}}, {})
    url = f"http://{HOST}:{ports['prefect']['api']}/api"
    settings = Settings(
        home=home.path,
        prefect={"api_url": url, "auth_string": f"weekahead:{secrets['prefect']}"},
        _env_file=None,
    )  # type: ignore[call-arg, arg-type]
    variables = {
        "PREFECT_HOME": str(home.data("prefect")),
        "PREFECT_API_URL": url,
        "PREFECT_SERVER_API_AUTH_STRING": f"weekahead:{secrets['prefect']}",
        "PREFECT_API_AUTH_STRING": f"weekahead:{secrets['prefect']}",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PREFECT_SERVER_EPHEMERAL_ENABLED": "false",
    }
    world = World(
        home=home,
        prefect_url=url,
        airflow_url=f"http://{HOST}:{ports[airflow.API_SERVER]['api']}",
        secrets=secrets,
        ports=ports,
    )
    command = [sys.executable, "-m", "prefect"]
    world.services["prefect"] = Service(
        name="prefect",
        ports={"api": 0},
        command=lambda port: [
            *(*command, "server", "start", "--no-services"),
            *(f"--host={HOST}", f"--port={port['api']}"),
        ],
        ready=lambda _: answers(f"{url}/health"),
        environment=variables,
    )
    world.services["worker"] = Service(
        name="worker",
        ports={},
        command=lambda _: [*command, "worker", "start", "--pool=light", "--type=process"],
        ready=lambda _: has_worker(world),
        environment=variables,
    )
    try:
        world.start("prefect")
        world.start("worker")
        subprocess.run(
            [sys.executable, str(HERE / "light_flows.py")],
            check=True,
            env=os.environ | variables,
        )
        airflow.prepare(settings, home, secrets)
        (airflow.dag_folder(home) / "cases.py").symlink_to(HERE / "light_dags.py")
        for service in airflow.services(settings, home, secrets):
            world.services[service.name] = service
            world.ports.setdefault(service.name, {})
            world.start(service.name)
        await_that(
            lambda: world.airflow("GET", "/dags?dag_id_pattern=impatient")["total_entries"],
            "the DAGs are known",
            90,
        )
        yield world
    finally:
        for running in reversed(list(world.processes.values())):
            stop(running)
        for name in world.services:
            print(tail(home.logs / f"{name}.log"))
