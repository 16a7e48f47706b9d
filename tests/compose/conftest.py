"""The whole stack in containers: images built, everything started once, removed at the end."""

import os
import subprocess
from collections.abc import Iterator

import pytest

from tests.compose.stack import Stack, environment, free_ports, preflight

PROJECT = "weekahead-test"
PAGES = ("prefect", "mlflow", "superset", "airflow")


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    preflight()
    ports = dict(zip(PAGES, free_ports(len(PAGES)), strict=True))
    stack = Stack(PROJECT, ports, environment(PROJECT, ports))
    # What an interrupted session left behind.
    stack.compose("down", "--volumes", "--remove-orphans")
    stack.compose("--progress", "plain", "build", timeout=1800)
    try:
        stack.up()
        stack.read_logins()
        yield stack
    except BaseException:
        print(subprocess.run(["docker", "ps", "--all"], capture_output=True, text=True).stdout)
        raise
    finally:
        if not os.environ.get("KEEP_CONTAINERS"):
            stack.compose("down", "--volumes", "--remove-orphans")
