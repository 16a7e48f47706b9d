"""The home directory: state, logs and secrets, accessible to its owner only."""

import hashlib
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from lakehouse.errors import HomeError
from lakehouse.ownership import make_private, private_folder, require_owner

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
# Socket paths are limited to 107 bytes; this leaves room for the file name.
MAX_SOCKET_FOLDER = 75


class Secrets(dict[str, str]):
    """Generated passwords and keys by name; its repr hides the values."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(sorted(self))})"

    @classmethod
    def load(
        cls, path: Path, names: Collection[str], *, renew: Collection[str] = frozenset()
    ) -> Self:
        """Read a file of secrets, and generate those that are missing or must be renewed.

        Args:
            path: A JSON file; created with mode 0600 if missing.
            names: Names of the secrets that must exist.
            renew: Names of the secrets to replace by new ones.

        Returns:
            All secrets in the file; each generated one is 48 hexadecimal digits.

        Raises:
            HomeError: The file is damaged.
        """
        known = cls(read_json(path, default={}))
        wanted = [name for name in names if name not in known or name in renew]
        if wanted:
            known.update({name: secrets.token_hex(24) for name in wanted})
            known.save(path)
        return known

    def save(self, path: Path) -> None:
        """Write them to a file with mode 0600."""
        write_private(path, json.dumps(self, indent=1))


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
    """Create the home directory if needed, restrict it to its owner, and check that it is usable.

    Also sets the umask, so that this process and its children create private files from now on.

    Args:
        path: The home directory.
        min_free_mb: Free disk space required, in MiB.

    Returns:
        The paths under the home directory.

    Raises:
        HomeError: It cannot be created or written, belongs to another account, or the disk is
            nearly full.
    """
    home = Home(path.absolute())
    os.umask(0o077)
    try:
        require_owner(home.path)
        for directory in (home.path, home.run, home.logs, home.config, home.path / "data"):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        make_private(home.path)
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


def socket_folder(home: Home) -> Path:
    """The folder for the sockets of a home's services; always the same one for a home.

    It is ``run``, or a private folder in ``/tmp`` if the path of the home is too long.

    Raises:
        HomeError: That folder belongs to another account.
    """
    if len(os.fsencode(home.run)) <= MAX_SOCKET_FOLDER:
        return home.run
    digest = hashlib.sha256(os.fsencode(home.path)).hexdigest()[:24]
    return private_folder(Path("/tmp") / f"weekahead-{os.geteuid()}-{digest}")  # noqa: S108


def remove_socket_folder(home: Home) -> None:
    """Remove the folder that ``socket_folder`` created outside the home."""
    folder = socket_folder(home)
    if folder != home.run:
        shutil.rmtree(folder)


def load_secrets(home: Home) -> Secrets:
    """Read the generated secrets, and generate missing ones.

    Raises:
        HomeError: The secrets file is damaged.
    """
    return Secrets.load(home.config / "secrets.json", SECRET_NAMES)


def read_json(path: Path, *, default: Any) -> Any:
    """Read a JSON file that we wrote.

    Args:
        path: The file.
        default: Returned if the file does not exist.

    Returns:
        The parsed content.

    Raises:
        HomeError: The file is not valid JSON.
    """
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return default
    except ValueError as error:
        raise HomeError(
            f"{path} is damaged ({error}). Move it away, and a new one will be created. "
            "Without the old secrets, a new home directory is needed as well."
        ) from error


def write_private(path: Path, text: str) -> None:
    """Replace a file atomically; only its owner can read it.

    Args:
        path: The file; its directory must exist.
        text: The new content.

    Raises:
        OSError: The directory cannot be written, or the disk is full; the old file stays.
    """
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
