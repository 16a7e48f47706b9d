"""A Prefect server for the time of a command, when none is configured.

Prefect can start a temporary server itself, but only after loading the whole server into the
client: twice the time. This one starts beside the other services and is shared like them.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from urllib.request import urlopen

from lakehouse.environment import temporary_environment
from lakehouse.services.home import Home
from lakehouse.services.process import HOST, Service

SETTINGS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}


def service(home: Home, secrets: dict[str, str]) -> Service:
    """Describe the Prefect server of this home."""

    def command(port: dict[str, int]) -> list[str]:
        # Without the scheduler and its companions: a command triggers its own flow.
        options = ["--no-services", f"--host={HOST}", f"--port={port['api']}"]
        return [sys.executable, "-m", "prefect", "server", "start", *options]

    return Service(
        name="prefect",
        ports={"api": 0},
        command=command,
        ready=_answers,
        environment=SETTINGS
        | {
            "PREFECT_HOME": str(home.data("prefect")),
            "PREFECT_SERVER_API_AUTH_STRING": auth_string(secrets),
            "PREFECT_API_AUTH_STRING": auth_string(secrets),
        },
        prepare=lambda _: home.data("prefect").mkdir(mode=0o700, parents=True, exist_ok=True),
    )


def auth_string(secrets: dict[str, str]) -> str:
    """User and password of the server's API."""
    return f"weekahead:{secrets['prefect']}"


def configured() -> bool:
    """Whether a Prefect server is named in the environment."""
    return bool(os.environ.get("PREFECT_API_URL"))


@contextmanager
def pointed_to(ports: dict[str, int], secrets: dict[str, str]) -> Iterator[None]:
    """Let this process and its children use the server; enter before importing Prefect."""
    ours = SETTINGS | {
        "PREFECT_API_URL": f"http://{HOST}:{ports['api']}/api",
        "PREFECT_API_AUTH_STRING": auth_string(secrets),
        # Every line goes to the server; the terminal shows our own progress instead.
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
        "PREFECT_LOGGING_EXTRA_LOGGERS": "weekahead",
        # Threads of dlt and dbt report progress, too, and do not know the flow's run.
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    }
    with temporary_environment(ours):
        yield


def _answers(ports: dict[str, int]) -> bool:
    try:
        with urlopen(f"http://{HOST}:{ports['api']}/api/health", timeout=2):
            return True
    except (OSError, HTTPException):
        return False
