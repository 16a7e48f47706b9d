"""Other drivers than clickhouse-connect, in environments of their own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.integration.chserver.conftest import own_python

HERE = Path(__file__).parent


def secrets(server: Any) -> list[str]:
    return [str(server.port), server.passwords["reader"], server.passwords["writer"]]


def test_drivers_for_python(server: Any, request: pytest.FixtureRequest) -> None:
    python = own_python(
        request,
        "drivers",
        *("aiochclient[aiohttp]>=2.7", "clickhouse-sqlalchemy>=0.3.2", "mcp-clickhouse>=0.7"),
        *("clickhouse-driver>=0.2.11", "clickhouse-cityhash", "lz4", "zstd"),
    )
    done = subprocess.run(
        [str(python), str(HERE / "drivers.py"), *secrets(server)],
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.stdout.splitlines() == [
        *("native of every version", "compressed blocks", "clickhouse-sqlalchemy"),
        *("aiochclient", "mcp-clickhouse"),
    ], done.stderr


@pytest.mark.skipif(not shutil.which("npm"), reason="needs Node.js and npm")
def test_clickhouses_driver_for_javascript(server: Any, request: pytest.FixtureRequest) -> None:
    home = Path(request.config.cache.mkdir("drivers-js"))  # type: ignore[union-attr]
    shutil.copy(HERE / "drivers.mjs", home / "drivers.mjs")
    if not (home / "node_modules").exists():
        install = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(home)]
        subprocess.run([*install, "@clickhouse/client@1"], check=True, timeout=300, cwd=home)
    done = subprocess.run(
        ["node", str(home / "drivers.mjs"), *secrets(server)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout == "@clickhouse/client\n", done.stderr
