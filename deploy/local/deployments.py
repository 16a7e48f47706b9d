"""Registers the deployments of deploy/prefect.yaml with the Prefect server.

Prefect is never imported here: its own command line does the work, like ``prefect deploy --all`` in
a checkout.
"""

import logging
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from deploy import FOLDER
from deploy.local import prefect
from deploy.local.service import tail
from lakehouse.errors import ServiceError
from lakehouse.home import Home, read_json, write_private
from lakehouse.settings import PROJECT_ROOT, Settings

log = logging.getLogger("weekahead")
TIME_ZONES = {"moex": "Europe/Moscow"}
OTHER_TIME_ZONE = "America/New_York"


def register(settings: Settings, home: Home) -> None:
    """Create or update work pool, limits, automations and deployments; skipped if unchanged.

    Args:
        settings: Address of Prefect and name of the work pool.
        home: Remembers what was registered.

    Raises:
        ServiceError: Prefect refuses something; the message contains the end of the log.
    """
    effective = home.config / "prefect.yaml"
    text = yaml.safe_dump(_adapted(settings), sort_keys=False, allow_unicode=True)
    mark = sha256("\n".join([text, str(settings.prefect.api_url), _code()]).encode()).hexdigest()
    done = home.data("prefect") / "registered.json"
    if read_json(done, default="") == mark:
        return
    log.info("registering deployments")
    write_private(effective, text)
    log_file = home.logs / "deployments.log"
    environment = (
        os.environ
        | prefect.client_environment(settings)
        | {"PREFECT_HOME": str(home.data("prefect")), "WEEKAHEAD_HOME": str(home.path)}
    )
    with log_file.open("ab") as output:
        log_file.chmod(0o600)
        code = subprocess.run(
            [sys.executable, "-m", "flows.register", str(effective)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=home.config,
            check=False,
        ).returncode
    if code:
        raise ServiceError(f"The deployments could not be registered.\n{tail(log_file)}")
    write_private(done, f'"{mark}"')


def _adapted(settings: Settings) -> dict[str, Any]:
    """The deployments with this machine's work pool, time zone and working directory."""
    source = FOLDER / "prefect.yaml"
    found: dict[str, Any] = yaml.safe_load(source.read_text())
    zone = TIME_ZONES.get(settings.ingest.source, OTHER_TIME_ZONE)
    for deployment in found["deployments"]:
        deployment["work_pool"] = {
            "name": settings.prefect.work_pool,
            # Runs look for weekahead.toml and .env where the stack was started.
            "job_variables": {"working_dir": str(Path.cwd())},
        }
        for schedule in deployment.get("schedules", []):
            schedule["timezone"] = zone
    return found


def _code() -> str:
    """A hash of the flows, whose signatures define the forms in the UI."""
    digest = sha256()
    for path in sorted((PROJECT_ROOT / "flows").rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
