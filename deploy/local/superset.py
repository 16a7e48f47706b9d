"""Superset: dashboards on the marts, in its own environment.

Superset pins far older libraries than the rest, so it is installed from its own lock file below the
home, and only its processes are started here. ``weekahead up --with superset`` calls ``install``,
``prepare`` and ``services``, in this order.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path
from urllib.parse import quote

from deploy import FOLDER
from deploy.local import environments
from deploy.local.people import in_superset, load_people
from deploy.local.service import HOST, Service, ask, tail
from lakehouse.connections.clickhouse_client import account, server_address
from lakehouse.errors import ServiceError
from lakehouse.home import Home, Secrets
from lakehouse.settings import Settings

NAME = "superset"
DEPLOY = FOLDER / "superset"
REQUIREMENTS = FOLDER / "requirements" / "superset.txt"
# Names of the generated secrets (lakehouse.home).
SECRET_KEY, ADMIN_PASSWORD = "superset_secret_key", "superset_admin"
MARTS = "marts"
# Days start at midnight UTC, whatever the server's time zone.
WAREHOUSE_OPTIONS = "ch_session_timezone=UTC&client_name=superset"


def environment(home: Home) -> Path:
    """Superset's environment."""
    return environments.directory(home, NAME)


def install(home: Home) -> Path:
    """Install Superset from its lock file (about 660 MB), unless it is up to date.

    Returns:
        The directory of its programs.

    Raises:
        ServiceError: A package cannot be installed.
    """
    return environments.build(
        environment(home), REQUIREMENTS, log_file=home.logs / "superset-install.log"
    )


def prepare(settings: Settings, home: Home, secrets: Secrets) -> None:
    """Update Superset's state: schema, roles, administrator and assets.

    Takes about 20 s the first time, later 7 s.

    Args:
        settings: Address of the warehouse, which must be running; accounts.
        home: Where Superset is installed.
        secrets: The home's secrets.

    Raises:
        ServiceError: A step failed; the message contains the end of its log.
    """
    home.data("superset").mkdir(mode=0o700, parents=True, exist_ok=True)
    _run(
        [_interpreter(home), str(DEPLOY / "bootstrap.py")],
        log=home.logs / "superset-prepare.log",
        variables=_state(settings, home, secrets)
        | _warehouse(settings)
        | {"SUPERSET_PEOPLE": in_superset(load_people(home))},
    )


def export(settings: Settings, home: Home, secrets: Secrets, options: Sequence[str]) -> int:
    """Export changes made in Superset back into the repository's files.

    Args:
        settings: The database of Superset's state.
        home: Where Superset is installed.
        secrets: The home's secrets.
        options: Further dashboards, by slug; ``--to`` names another folder.

    Returns:
        The exit code; changes are printed.

    Raises:
        ServiceError: Superset is not installed.
    """
    if not environment(home).is_dir():
        raise ServiceError("Superset is not installed: run 'weekahead up --with superset' first.")
    command = [_interpreter(home), str(DEPLOY / "export.py"), *options]
    environ = os.environ | _state(settings, home, secrets)
    return subprocess.run(command, env=environ, check=False).returncode


def services(settings: Settings, home: Home, secrets: Secrets) -> list[Service]:
    """Describe Superset's web server.

    Args:
        settings: Port, threads and accounts.
        home: Where Superset is installed.
        secrets: The home's secrets.

    Returns:
        One service.
    """

    def command(port: dict[str, int]) -> list[str]:
        return [
            str(environment(home) / "bin" / "gunicorn"),
            f"--bind={HOST}:{port['http']}",
            "--workers=1",
            "--worker-class=gthread",
            f"--threads={settings.superset.threads}",
            "--timeout=120",
            "--access-logfile=/dev/null",
            "superset.app:create_app()",
        ]

    return [
        Service(
            name="superset",
            ports={"http": settings.services.superset_port},
            preferred={"http": 8088},
            command=command,
            ready=_answers,
            environment=_state(settings, home, secrets),
            page=lambda port: f"http://{HOST}:{port['http']}/",
            login=(settings.superset.admin_user, ADMIN_PASSWORD),
        )
    ]


def _interpreter(home: Home) -> str:
    return str(environment(home) / "bin" / "python")


def _state(settings: Settings, home: Home, secrets: Secrets) -> dict[str, str]:
    """Environment of Superset's processes; the only way by which they get secrets."""
    own_state = home.data("superset") / "superset.db"
    uri = settings.superset.database_uri
    return {
        "SUPERSET_CONFIG_PATH": str(DEPLOY / "superset_config.py"),
        "SUPERSET_HOME": str(home.data("superset")),
        "SUPERSET_SECRET_KEY": secrets[SECRET_KEY],
        "SUPERSET_DATABASE_URI": uri.get_secret_value() if uri else f"sqlite:///{own_state}",
        "SUPERSET_PUBLIC": "1" if settings.superset.public else "",
        "SUPERSET_LANGUAGE": settings.superset.language,
        "SUPERSET_ADMIN_USER": settings.superset.admin_user,
        "SUPERSET_ADMIN_PASSWORD": secrets[ADMIN_PASSWORD],
        # Keep packages of our own environment out of Superset's.
        "PYTHONPATH": "",
        "SCARF_ANALYTICS": "false",
        "DO_NOT_TRACK": "1",
    }


def _warehouse(settings: Settings) -> dict[str, str]:
    """The marts' address and password for the assets."""
    reader, password = account(settings.clickhouse, "reader")
    return {
        "WAREHOUSE_URI": warehouse_uri(settings, reader),
        "WAREHOUSE_PASSWORD": password.get_secret_value(),
    }


def warehouse_uri(settings: Settings, user: str) -> str:
    """SQLAlchemy URL of the marts, without a password.

    Args:
        settings: Address of ClickHouse.
        user: Account to connect with.

    Returns:
        A ``clickhousedb://`` URL.

    Raises:
        SettingsError: The address of ClickHouse is missing or malformed.
    """
    address = server_address(settings.clickhouse)
    options = WAREHOUSE_OPTIONS + ("&secure=true" if address.secure else "")
    host = f"[{address.host}]" if ":" in address.host else address.host
    place = f"{quote(user, safe='')}@{host}:{address.port}"
    return f"clickhousedb://{place}/{MARTS}?{options}"


def _run(command: list[str], *, log: Path, variables: dict[str, str] | None = None) -> None:
    with log.open("wb") as output:
        log.chmod(0o600)
        code = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | (variables or {}),
            check=False,
        ).returncode
    if code:
        raise ServiceError(f"{Path(command[0]).name} ended with code {code}.\n{tail(log)}")


def _answers(ports: dict[str, int]) -> bool:
    # Unlike /health, this warms up the first page, so that no browser has to wait for it.
    try:
        with ask(f"http://{HOST}:{ports['http']}/login/", timeout=10):
            return True
    except (OSError, HTTPException):
        return False


def _main() -> int:
    """``python -m deploy.local.superset export [SLUG…]``, for the Makefile."""
    from lakehouse.home import load_secrets, open_home
    from lakehouse.settings import load_settings

    settings = load_settings()
    home = open_home(settings.home)
    return export(settings, home, load_secrets(home), sys.argv[2:])


if __name__ == "__main__":
    sys.exit(_main())
