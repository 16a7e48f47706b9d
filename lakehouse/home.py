"""The home directory: state, logs and secrets, readable by its owner only."""

import json
import os
import secrets
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lakehouse.errors import HomeError

LAKE_SECRETS = (
    "s3_access_key",
    "s3_secret_key",
    "s3_reader_access_key",
    "s3_reader_secret_key",
    "weed_jwt",
    "weed_jwt_read",
    "weed_jwt_filer",
    "weed_jwt_filer_read",
)
SECRET_NAMES = (
    *LAKE_SECRETS,
    "clickhouse_admin",
    "clickhouse_writer",
    "clickhouse_reader",
    "prefect",
    "mlflow_admin",
    "mlflow_session",
    "stack_mark",
    "supervisor",
    "airflow",
    "airflow_key",
    "superset_secret_key",
    "superset_admin",
)


@dataclass(frozen=True)
class Home:
    """Paths under the home directory."""

    path: Path

    @property
    def run(self) -> Path:
        """Locks, process ids and ports of the running services."""
        return self.path / "run"

    @property
    def logs(self) -> Path:
        """One log file per service."""
        return self.path / "logs"

    @property
    def config(self) -> Path:
        """Generated configuration and secrets."""
        return self.path / "config"

    def data(self, service: str) -> Path:
        """The data directory of a service."""
        return self.path / "data" / service


def open_home(path: Path, *, min_free_mb: int = 0) -> Home:
    """Create the home directory if needed, and check that it can be used.

    Raises:
        HomeError: It cannot be created or written, or the disk is nearly full.
    """
    home = Home(path.absolute())
    try:
        for directory in (home.path, home.run, home.logs, home.config, home.path / "data"):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home.run) as probe:
            probe.write(b"writable?")
    except OSError as error:
        raise HomeError(
            f"The home directory {home.path} cannot be written: {error.strerror or error}. "
            "Choose another with WEEKAHEAD_HOME, or correct its owner and rights."
        ) from error
    free_mb = shutil.disk_usage(home.path).free // 2**20
    if free_mb < min_free_mb:
        raise HomeError(
            f"Only {free_mb} MB are free on the disk of {home.path}, {min_free_mb} MB are needed. "
            "Free some space, or choose another place with WEEKAHEAD_HOME."
        )
    return home


def load_secrets(home: Home) -> dict[str, str]:
    """Read the generated secrets; make those that are missing.

    Raises:
        HomeError: The secrets file is damaged.
    """
    path = home.config / "secrets.json"
    known: dict[str, str] = read_json(path, default={})
    missing = {name: secrets.token_hex(24) for name in SECRET_NAMES if name not in known}
    if missing:
        known |= missing
        write_private(path, json.dumps(known, indent=1))
    return known


def read_json(path: Path, *, default: Any) -> Any:
    """Read a JSON file of ours, or return the default when there is none.

    Raises:
        HomeError: The file is not valid JSON.
    """
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return default
    except ValueError as error:
        raise HomeError(
            f"{path} is damaged ({error}). Move it away; it is made anew. "
            "Without the old secrets a new home directory is needed, too."
        ) from error


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step; only its owner may read it."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        # mkstemp makes the file with mode 0600.
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
