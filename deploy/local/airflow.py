"""Airflow in its own environment, with DAGs that start the Prefect deployments.

``weekahead up --with airflow`` calls ``install``, ``prepare`` and ``services``, in this order. The
four processes are started separately, because ``airflow standalone`` binds servers beyond loopback
and leaves its children behind. Loopback, one user and sqlite: for one machine only. docs/airflow.md
describes what a shared installation needs.
"""

import base64
import configparser
import hashlib
import hmac
import io
import json
import os
import subprocess
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from deploy import FOLDER
from deploy.local import deployments, environments
from deploy.local.people import ROLES, changes, load_people
from deploy.local.service import HOST, Service, ask, tail
from lakehouse.errors import ServiceError
from lakehouse.home import Home, Secrets, read_json, write_private
from lakehouse.settings import Settings

NAME = "airflow"
USER = "weekahead"
API_SERVER = "airflow"
PASSWORDS = "passwords.json"
_STEP_SECONDS = 300


REQUIREMENTS = FOLDER / "requirements" / "airflow.txt"
_IN_CHECKOUT = FOLDER.parent / "airflow_bridge"
PLUGINS = FOLDER / "airflow"
BRIDGE = _IN_CHECKOUT if _IN_CHECKOUT.is_dir() else FOLDER / "_airflow_bridge"


def install(home: Home) -> Path:
    """Install Airflow and the bridge, unless they are up to date.

    Returns:
        The directory of its programs.

    Raises:
        ServiceError: A package cannot be installed.
    """
    return environments.build(
        environments.directory(home, NAME),
        REQUIREMENTS,
        log_file=home.logs / "airflow-install.log",
        packages=[BRIDGE],
    )


def prepare(settings: Settings, home: Home, secrets: Secrets) -> None:
    """Write configuration and password, and create or migrate the database.

    Args:
        settings: Address and credentials of Prefect.
        home: Airflow's state is stored in its data directory.
        secrets: The home's secrets.

    Raises:
        ServiceError: A step failed; the message contains the end of its log.
    """
    data = home.data(NAME)
    for directory in (data, data / "dags"):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    known: dict[str, str] = read_json(data / PASSWORDS, default={})
    kept = {name: known[name] for name in load_people(home) if name in known}
    write_private(data / PASSWORDS, json.dumps({USER: secrets["airflow"]} | kept))
    # The port is chosen later, when the API server starts; only the database is needed now.
    _configure(home, secrets, {"api": read_port(home)})
    connection = {"prefect_default": _prefect_connection(settings)}
    steps = [["db", "migrate"], ["connections", "import", "--overwrite"]]
    state = {"steps": steps, "connection": connection, "code": _built_from(home)}
    digest = hashlib.sha256(json.dumps(state).encode()).hexdigest()
    done: dict[str, Any] = read_json(data / "prepared.json", default={})
    # Each call of Airflow's command takes seconds, so skip them if nothing has changed.
    if done.get("digest") == digest and (data / "airflow.db").exists():
        return
    file = data / "connections.json"
    write_private(file, json.dumps(connection))
    try:
        _airflow(home, steps[0])
        _airflow(home, [*steps[1], str(file)])
    finally:
        file.unlink()
    write_private(data / "prepared.json", json.dumps({"digest": digest}))


def services(settings: Settings, home: Home, secrets: Secrets) -> list[Service]:
    """Describe Airflow's processes, in the order in which they must start.

    Args:
        settings: Port and time zone.
        home: Where Airflow is installed.
        secrets: The home's secrets.

    Returns:
        API server, scheduler, DAG processor and triggerer.
    """
    program = str(environments.directory(home, NAME) / "bin" / "airflow")
    zone = deployments.TIME_ZONES.get(settings.ingest.source, deployments.OTHER_TIME_ZONE)
    environment = _environment(home) | {
        "WEEKAHEAD_AIRFLOW_TIMEZONE": zone,
        # A different build makes the process manager restart running processes.
        "WEEKAHEAD_AIRFLOW_BUILD": _built_from(home),
    }
    # Only the API server knows users.
    serving = environment | changes(home)

    def serve(ports: dict[str, int]) -> list[str]:
        return [program, "api-server", f"--host={HOST}", f"--port={ports['api']}", "--workers=1"]

    def helper(name: str, *arguments: str, component: str) -> Service:
        return Service(
            name=f"airflow-{name}",
            ports={},
            command=lambda _: [program, name, *arguments],
            ready=lambda _: _healthy(read_port(home), component),
            environment=environment,
        )

    return [
        Service(
            name=API_SERVER,
            ports={"api": settings.services.airflow_port},
            preferred={"api": 8080},
            command=serve,
            ready=lambda ports: _healthy(ports["api"], "metadatabase"),
            environment=serving,
            prepare=lambda ports: _configure(home, secrets, ports),
            page=lambda ports: f"http://{HOST}:{ports['api']}/",
            login=(USER, "airflow"),
        ),
        helper("scheduler", "--skip-serve-logs", component="scheduler"),
        helper("dag-processor", component="dag_processor"),
        helper("triggerer", "--skip-serve-logs", component="triggerer"),
    ]


def read_port(home: Home) -> int:
    """The API server's port as last configured; 0 before the first time."""
    config = configparser.RawConfigParser()
    config.read(home.data(NAME) / "airflow.cfg")
    return config.getint("api", "port", fallback=0)


def dag_folder(home: Home) -> Path:
    """The folder for the user's own DAGs."""
    return home.data(NAME) / "dags"


def _configure(home: Home, secrets: Secrets, ports: dict[str, int]) -> None:
    """Write Airflow's configuration to a file, so that its command also works by hand."""
    data = home.data(NAME)
    url = f"http://{HOST}:{ports['api']}"
    bundles = [
        _bundle("weekahead", _site_packages(home) / "weekahead_airflow" / "dags"),
        _bundle("dags-folder", dag_folder(home)),
    ]
    users = {USER: "admin"} | {
        name: ROLES[person.role].airflow for name, person in load_people(home).items()
    }
    sections: dict[str, dict[str, Any]] = {
        "core": {
            "dags_folder": dag_folder(home),
            "plugins_folder": PLUGINS,
            "load_examples": False,
            "executor": "LocalExecutor",
            # Tasks wait in the triggerer, so four at once are enough, also for sqlite.
            "parallelism": 4,
            "fernet_key": base64.urlsafe_b64encode(_derived(secrets, "fernet")[:32]).decode(),
            "simple_auth_manager_users": ",".join(f"{n}:{r}" for n, r in users.items()),
            "simple_auth_manager_passwords_file": data / PASSWORDS,
            "execution_api_server_url": f"{url}/execution/",
            # Enables the button that tests a connection; the only user may see its secrets.
            "test_connection": "Enabled",
        },
        "database": {"sql_alchemy_conn": f"sqlite:///{data / 'airflow.db'}"},
        "api": {
            "host": HOST,
            "port": ports["api"],
            "base_url": url,
            "workers": 1,
            "secret_key": _derived(secrets, "api").hex(),
        },
        "api_auth": {"jwt_secret": _derived(secrets, "jwt").hex()},
        "dag_processor": {
            "dag_bundle_config_list": json.dumps(bundles),
            "refresh_interval": 30,
        },
        "logging": {"base_log_folder": data / "logs"},
        "usage_data_collection": {"enabled": False},
    }
    config = configparser.RawConfigParser()
    for section, values in sections.items():
        config[section] = {key: str(value) for key, value in values.items()}
    text = io.StringIO()
    config.write(text)
    write_private(data / "airflow.cfg", text.getvalue())


def _prefect_connection(settings: Settings) -> dict[str, str | int | None]:
    """An Airflow connection to the Prefect server of these settings."""
    url = urlsplit(settings.prefect.api_url or "")
    auth = settings.prefect.auth_string.get_secret_value() if settings.prefect.auth_string else ""
    user, _, password = auth.partition(":")
    return {
        "conn_type": "prefect",
        "description": "The Prefect server of the local stack",
        "host": f"{url.scheme}://{url.hostname}{url.path}",
        # Separate from the host, because Airflow's test button requires a port.
        "port": url.port or (443 if url.scheme == "https" else 80),
        "login": user or None,
        # Prefect Cloud uses a key instead.
        "password": password or os.environ.get("PREFECT_API_KEY"),
    }


def _bundle(name: str, path: Path) -> dict[str, Any]:
    return {
        "name": name,
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        "kwargs": {"path": str(path)},
    }


def _site_packages(home: Home) -> Path:
    return next((environments.directory(home, NAME) / "lib").glob("python*/site-packages"))


def _built_from(home: Home) -> str:
    return environments.built_from(environments.directory(home, NAME))


def _derived(secrets: Secrets, purpose: str) -> bytes:
    """64 bytes for one purpose, so that new purposes need no new secrets."""
    return hmac.digest(secrets["airflow_key"].encode(), purpose.encode(), "sha512")


def _environment(home: Home) -> dict[str, str]:
    programs = environments.directory(home, NAME) / "bin"
    return {
        "AIRFLOW_HOME": str(home.data(NAME)),
        # Airflow calls its own command by its bare name.
        "PATH": os.pathsep.join([str(programs), os.environ.get("PATH", os.defpath)]),
        # Keep packages of our own environment out of Airflow's.
        "PYTHONPATH": "",
        "SCARF_ANALYTICS": "false",
        "DO_NOT_TRACK": "1",
    }


def _airflow(home: Home, arguments: list[str]) -> None:
    log = home.logs / "airflow-prepare.log"
    with log.open("ab") as output:
        log.chmod(0o600)
        try:
            subprocess.run(
                ["airflow", *arguments],  # noqa: S607 - found in the environment's own PATH
                executable=environments.directory(home, NAME) / "bin" / "airflow",
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=_STEP_SECONDS,
                env=os.environ | _environment(home),
            )
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            raise ServiceError(f"'airflow {arguments[0]}' failed.\n{tail(log)}") from error


def _healthy(port: int, component: str) -> bool:
    try:
        with ask(f"http://{HOST}:{port}/api/v2/monitor/health", timeout=3) as answer:
            found = json.load(answer)
    except (OSError, HTTPException, ValueError):
        return False
    return bool(found.get(component, {}).get("status") == "healthy")
