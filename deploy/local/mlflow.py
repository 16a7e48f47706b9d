"""The local stack's MLflow server, with accounts, and artifacts in the object store.

Without the stack, commands use the same database file directly, so that runs and models are shared.
"""

import sys
from http.client import HTTPException
from pathlib import Path

from deploy.local.service import HOST, Service, ask
from lakehouse.home import Home, Secrets, write_private
from lakehouse.settings import Settings

ADMIN = "admin"
PASSWORD = "mlflow_admin"  # noqa: S105 - the secret's name
AUTH_CONFIG = """[mlflow]
default_permission = READ
database_uri = {database}
admin_username = {user}
admin_password = {password}
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
"""


def service(settings: Settings, home: Home, secrets: Secrets) -> Service:
    """Describe the MLflow server.

    Args:
        settings: Port, database, and address of the object store.
        home: Where its state is stored.
        secrets: Password of the administrator, and the key of sessions.

    Returns:
        The service.
    """
    data = home.data("mlflow")
    config = home.config / "mlflow-auth.ini"
    database = settings.mlflow.database_url

    def prepare(_: dict[str, int]) -> None:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(config, accounts(f"sqlite:///{accounts_file(home)}", secrets[PASSWORD]))

    def command(port: dict[str, int]) -> list[str]:
        return [
            sys.executable,
            "-m",
            "mlflow",
            "server",
            "--app-name=basic-auth",
            f"--host={HOST}",
            f"--port={port['http']}",
            # By default it accepts any host name that starts like a private address.
            f"--allowed-hosts={HOST}:{port['http']},localhost:{port['http']}",
            "--workers=1",
            "--uvicorn-opts=--log-level warning",
        ]

    return Service(
        name="mlflow",
        ports={"http": settings.services.mlflow_port},
        preferred={"http": 5000},
        command=command,
        ready=_answers,
        environment={
            # URLs with passwords go into variables, because any account can list arguments.
            "MLFLOW_BACKEND_STORE_URI": database.get_secret_value()
            if database
            else f"sqlite:///{home.path / 'mlflow.db'}",
            "MLFLOW_DEFAULT_ARTIFACT_ROOT": f"s3://{settings.s3.artifacts_bucket}/mlflow",
            "MLFLOW_AUTH_CONFIG_PATH": str(config),
            "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets["mlflow_session"],
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DO_NOT_TRACK": "1",
            "MLFLOW_S3_ENDPOINT_URL": settings.s3.endpoint or "",
            # The server only reads artifacts; training writes them to the object store directly.
            "AWS_ACCESS_KEY_ID": settings.s3.reader_access_key,
            "AWS_SECRET_ACCESS_KEY": settings.s3.reader_secret_key.get_secret_value(),
            "AWS_DEFAULT_REGION": settings.s3.region,
        },
        prepare=prepare,
        page=lambda port: f"http://{HOST}:{port['http']}/",
        login=(ADMIN, PASSWORD),
        patience=3,
    )


def accounts_file(home: Home) -> Path:
    """The database of the server's accounts."""
    return home.data("mlflow") / "accounts.db"


def accounts(database: str, password: str) -> str:
    """MLflow's account configuration: the database of accounts, and the administrator.

    Args:
        database: URL of the database of accounts.
        password: Initial password of the administrator.

    Returns:
        The content of the INI file; contains the password.
    """
    # In the INI file, a percent sign starts a reference.
    return AUTH_CONFIG.format(
        database=database.replace("%", "%%"), user=ADMIN, password=password.replace("%", "%%")
    )


def _answers(ports: dict[str, int]) -> bool:
    try:
        with ask(f"http://{HOST}:{ports['http']}/health", timeout=2):
            return True
    except (OSError, HTTPException):
        return False
