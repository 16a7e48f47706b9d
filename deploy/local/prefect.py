"""Prefect: a server for the duration of a command, or the local stack's server and worker.

Prefect can start a temporary server itself, but only after loading the whole server into the
client, which takes twice as long. Ours starts in parallel with the other services and is shared
like them.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException

from pydantic import SecretStr

from deploy.local.service import HOST, Service, ask
from lakehouse.environment import temporary_environment
from lakehouse.home import Home, Secrets
from lakehouse.settings import Settings

USER = "weekahead"
HEARTBEAT_SECONDS = 30
SETTINGS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}
CLIENT_SETTINGS = SETTINGS | {
    "PREFECT_LOGGING_EXTRA_LOGGERS": "weekahead",
    # Threads of dlt and dbt also log progress, without knowing the flow's run.
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
}


def short_lived(settings: Settings, home: Home, secrets: Secrets) -> Service:
    """Describe a server that runs only while commands use it.

    Args:
        settings: Port and database.
        home: Where its state is stored.
        secrets: Password of its API.

    Returns:
        The service.
    """
    # No scheduler and other services, because a command triggers its own flow.
    return _server(settings, home, secrets, ["--no-services"], {})


def server(settings: Settings, home: Home, secrets: Secrets) -> Service:
    """Describe the local stack's server, with scheduler, triggers and UI.

    Args:
        settings: Port and database.
        home: Where its state is stored.
        secrets: Password of its API.

    Returns:
        The service.
    """
    environment = {
        # In-memory leases would be lost on a restart, and their slots never released.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": (
            "prefect.server.concurrency.lease_storage.filesystem"
        ),
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
    }
    return _server(settings, home, secrets, [], environment)


def _server(
    settings: Settings,
    home: Home,
    secrets: Secrets,
    options: list[str],
    environment: dict[str, str],
) -> Service:
    environment = environment | _server_environment(home, secrets)
    if database := settings.prefect.database_url:
        environment["PREFECT_API_DATABASE_CONNECTION_URL"] = database.get_secret_value()

    def command(port: dict[str, int]) -> list[str]:
        address = [f"--host={HOST}", f"--port={port['api']}"]
        return [sys.executable, "-m", "deploy.local.prefect_server", *options, *address]

    return Service(
        name="prefect",
        ports={"api": settings.services.prefect_port},
        preferred={"api": 4200},
        command=command,
        ready=_answers,
        environment=environment,
        prepare=lambda _: home.data("prefect").mkdir(mode=0o700, parents=True, exist_ok=True),
        page=lambda port: f"http://{HOST}:{port['api']}/",
        login=(USER, "prefect"),
        patience=3,
    )


def worker(settings: Settings, home: Home) -> Service:
    """Describe the worker that runs deployments as processes; each run reloads our settings.

    Args:
        settings: Work pool, and address of Prefect.
        home: The home directory of the runs.

    Returns:
        The service.
    """

    def command(_: dict[str, int]) -> list[str]:
        return [
            *(sys.executable, "-m", "prefect", "--no-prompt", "worker", "start"),
            *(f"--pool={settings.prefect.work_pool}", "--type=process", "--with-healthcheck"),
            f"--name={settings.prefect.work_pool}-local",
        ]

    def environment() -> dict[str, str]:
        ours = {
            name: value
            for name, value in os.environ.items()
            if name.startswith(("WEEKAHEAD_", "PREFECT_"))
        }
        return (
            ours
            | client_environment(settings)
            | {
                "WEEKAHEAD_HOME": str(home.path),
                "PREFECT_HOME": str(home.data("prefect")),
                "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS),
                "PREFECT_WORKER_QUERY_SECONDS": "3",
                "PREFECT_WORKER_WEBSERVER_HOST": HOST,
            }
        )

    return Service(
        name="worker",
        ports={"health": 0},
        port_variables={"health": "PREFECT_WORKER_WEBSERVER_PORT"},
        command=command,
        ready=lambda port: _healthy(f"http://{HOST}:{port['health']}/health"),
        environment=environment(),
        patience=3,
    )


def reaper(settings: Settings) -> Service:
    """Describe the process that marks runs whose process was killed."""
    return Service(
        name="reaper",
        ports={},
        command=lambda _: [
            *(sys.executable, "-m", "deploy.local.reaper", settings.prefect.work_pool)
        ],
        ready=lambda _: True,
        environment=client_environment(settings),
    )


def client_environment(settings: Settings) -> dict[str, str]:
    """Variables that point a process to these settings' server."""
    found = dict(CLIENT_SETTINGS)
    if settings.prefect.api_url:
        found["PREFECT_API_URL"] = settings.prefect.api_url
    if settings.prefect.auth_string:
        found["PREFECT_API_AUTH_STRING"] = settings.prefect.auth_string.get_secret_value()
    return found


def auth_string(secrets: Secrets) -> str:
    """User and password of the server's API, as ``user:password``."""
    return f"{USER}:{secrets['prefect']}"


def configured(settings: Settings) -> bool:
    """Whether the settings or Prefect's own variables name a Prefect server."""
    return bool(settings.prefect.api_url or os.environ.get("PREFECT_API_URL"))


def fill(settings: Settings, ports: dict[str, int] | None, secrets: Secrets) -> None:
    """Write the server's address and credentials into the settings.

    Args:
        settings: Changed in place.
        ports: Ports of our own server, or None if another one is configured.
        secrets: The home's secrets.
    """
    if ports is not None:
        settings.prefect.api_url = f"http://{HOST}:{ports['api']}/api"
        settings.prefect.auth_string = SecretStr(auth_string(secrets))
        return
    settings.prefect.api_url = settings.prefect.api_url or os.environ.get("PREFECT_API_URL")
    theirs = os.environ.get("PREFECT_API_AUTH_STRING")
    if theirs and not settings.prefect.auth_string:
        settings.prefect.auth_string = SecretStr(theirs)


@contextmanager
def pointed_to(settings: Settings) -> Iterator[None]:
    """Point this process and its children to the server; enter before importing Prefect."""
    ours = client_environment(settings) | {
        # The server gets every log line; the terminal shows our own progress instead.
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    }
    with temporary_environment(ours):
        yield


def _server_environment(home: Home, secrets: Secrets) -> dict[str, str]:
    return SETTINGS | {
        "PREFECT_HOME": str(home.data("prefect")),
        "PREFECT_SERVER_API_AUTH_STRING": auth_string(secrets),
        "PREFECT_API_AUTH_STRING": auth_string(secrets),
        # A relative URL, so that pages use the server that they came from, whatever its port.
        "PREFECT_SERVER_UI_API_URL": "/api",
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": "",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    }


def _answers(ports: dict[str, int]) -> bool:
    return _healthy(f"http://{HOST}:{ports['api']}/api/health")


def _healthy(address: str) -> bool:
    try:
        with ask(address, timeout=2):
            return True
    except (OSError, HTTPException):
        return False
