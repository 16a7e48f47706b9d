"""The whole stack in containers: images built, everything started once, removed at the end."""

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator

import pytest

from tests.compose.stack import Stack, environment

PROJECT = "weekahead-test"
PAGES = ("prefect", "mlflow", "superset", "airflow")
BASE_IMAGE = os.environ.get("BASE_IMAGE", "weekahead/base:bookworm")
LEAST_COMPOSE = (2, 20)


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    preflight()
    ports = dict(zip(PAGES, free_ports(len(PAGES)), strict=True))
    stack = Stack(PROJECT, ports, environment(PROJECT, ports, BASE_IMAGE))
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


def preflight() -> None:
    """Say what is missing, instead of failing somewhere in the middle."""
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
