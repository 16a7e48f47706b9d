"""MLflow: where runs, metrics and models are kept."""

import logging
import platform
import warnings
from contextlib import ExitStack
from typing import TYPE_CHECKING

from lakehouse.environment import temporary_environment
from lakehouse.errors import ServiceError
from lakehouse.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

TAG = "weekahead."
DATABASE = "mlflow.db"
_pointed = ExitStack()


def connect(settings: Settings) -> "MlflowClient":
    """Point MLflow at the configured server or database, and its artifacts at the object store.

    The last one to connect decides where the MLflow calls of this process go.

    Raises:
        ServiceError: MLflow does not answer.
    """
    _point(settings)
    import mlflow
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # MLflow warns of integer columns that might miss values; bar_number never does.
    warnings.filterwarnings("ignore", message=".*integer column.*", category=UserWarning)
    settings.home.mkdir(parents=True, exist_ok=True)
    try:
        mlflow.set_tracking_uri(settings.mlflow_uri)
        mlflow.set_registry_uri(settings.mlflow_uri)
        client = mlflow.MlflowClient(settings.mlflow_uri, settings.mlflow_uri)
        experiment_id(client, settings)
    except (MlflowException, SQLAlchemyError, OSError) as error:
        raise ServiceError(
            f"MLflow at {_shown(settings.mlflow_uri)} cannot be used: {error}. "
            "Check WEEKAHEAD_MLFLOW__TRACKING_URI and that the server is running."
        ) from error
    return client


def is_used(settings: Settings) -> bool:
    """Whether there may be runs; a fresh home has not even a database, and making one is slow."""
    own = settings.mlflow.tracking_uri is None
    return not own or (settings.home / DATABASE).exists()


def experiment_id(client: "MlflowClient", settings: Settings) -> str:
    """The experiment of the training runs; created at the first use."""
    experiment = client.get_experiment_by_name(settings.mlflow.experiment)
    if experiment is not None:
        return str(experiment.experiment_id)
    return str(
        client.create_experiment(
            settings.mlflow.experiment,
            artifact_location=f"s3://{settings.s3.artifacts_bucket}/mlflow",
        )
    )


def close_dead_runs(client: "MlflowClient", settings: Settings) -> None:
    """Mark what killed trainings of this home left running; only one trains at a time."""
    running = client.search_runs(
        [experiment_id(client, settings)],
        filter_string=(
            f"tags.`{TAG}home` = '{home_name(settings)}' and attributes.status = 'RUNNING'"
        ),
    )
    for run in running:
        client.set_terminated(run.info.run_id, status="KILLED")


def home_name(settings: Settings) -> str:
    """Names this home among those that may share a server."""
    # It stands between quotes where runs are searched for.
    return f"{platform.node()}:{settings.home.absolute()}".replace("'", "_")


def last_run(client: "MlflowClient", settings: Settings, **tags: str) -> "Run | None":
    """The latest finished training run with these tags, if there is one."""
    wanted = [f"tags.`{TAG}{name}` = '{value}'" for name, value in tags.items()]
    runs = client.search_runs(
        [experiment_id(client, settings)],
        filter_string=" and ".join([*wanted, "attributes.status = 'FINISHED'"]),
        max_results=1,
    )
    return runs[0] if runs else None


def _point(settings: Settings) -> None:
    """Let MLflow's calls of this process go to these services, and to no earlier ones.

    MLflow takes its logins from the environment and from boto3's default session when it makes a
    call, long after a client was opened; this is the one place that sets them.
    """
    import boto3

    # Puts back what the last one to connect found.
    _pointed.close()
    _pointed.enter_context(temporary_environment(_environment(settings)))
    _pointed.callback(setattr, boto3, "DEFAULT_SESSION", boto3.DEFAULT_SESSION)
    # The keys stay out of the environment: children would inherit them.
    boto3.setup_default_session(
        aws_access_key_id=settings.s3.access_key,
        aws_secret_access_key=settings.s3.secret_key.get_secret_value(),
        region_name=settings.s3.region,
    )


def _environment(settings: Settings) -> dict[str, str]:
    wanted = {
        # MLflow would load any pickle that it finds; models are only ever read by registry.load.
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        # Links to a server's pages would stand before the JSON of --json.
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    }
    if settings.s3.endpoint:
        wanted["MLFLOW_S3_ENDPOINT_URL"] = settings.s3.endpoint
    if settings.mlflow.username and settings.mlflow.password:
        wanted["MLFLOW_TRACKING_USERNAME"] = settings.mlflow.username
        wanted["MLFLOW_TRACKING_PASSWORD"] = settings.mlflow.password.get_secret_value()
    return wanted


def _shown(uri: str) -> str:
    # A database URL may hold a password.
    from urllib.parse import urlsplit

    parts = urlsplit(uri)
    host = f"{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}"
    return f"{parts.scheme}://{host}{parts.path}"
