"""The ClickHouse engine: a ``clickhouse`` program when there is one, else chDB behind HTTP."""

import json
import sys
from http.client import HTTPException
from urllib.request import urlopen

from lakehouse.services.home import Home, write_private
from lakehouse.services.process import HOST, Service
from lakehouse.settings import Settings

ROLES = ("admin", "writer", "reader")


def service(settings: Settings, home: Home, secrets: dict[str, str]) -> Service:
    """Describe the embedded ClickHouse server of this home."""
    data = home.data("clickhouse")
    users = home.config / "clickhouse-users.json"

    def prepare(_: dict[str, int]) -> None:
        from lakehouse.chserver.auth import hash_password

        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        accounts = {
            role: {"password_hash": hash_password(secrets[f"clickhouse_{role}"]), "role": role}
            for role in ROLES
        }
        write_private(users, json.dumps(accounts))

    def command(port: dict[str, int]) -> list[str]:
        return [
            sys.executable,
            "-m",
            "lakehouse.chserver",
            f"--data={data}",
            f"--host={HOST}",
            f"--port={port['http']}",
            f"--users={users}",
            f"--log-dir={home.logs}",
            f"--max-memory={int(settings.clickhouse.max_memory_gb * 2**30)}",
        ]

    return Service(
        name="clickhouse",
        ports={"http": settings.services.clickhouse_port},
        command=command,
        ready=_answers,
        prepare=prepare,
    )


def _answers(ports: dict[str, int]) -> bool:
    try:
        with urlopen(f"http://{HOST}:{ports['http']}/ping", timeout=2):
            return True
    except (OSError, HTTPException):
        return False
