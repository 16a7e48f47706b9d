"""MLflow: the store of runs, metrics and models."""

import logging
import platform
import warnings
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
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


@dataclass(frozen=True)
class Models:
    """MLflow, and where the platform's runs and models are in it.

    Attributes:
        client: MLflow.
        experiment: Id of the experiment of the training runs.
        name: The model's name in the registry.
    """

    client: "MlflowClient"
    experiment: str
    name: str


def connect(settings: Settings) -> Models:
    """Point MLflow at the configured server or database, and its artifacts at the object store.

    MLflow's state is global: the last call decides where the calls of this process go.

    Raises:
        ServiceError: MLflow does not answer.
    """
    _point(settings)
    import mlflow
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # MLflow warns that integer columns may have missing values; bar_number never has.
    warnings.filterwarnings("ignore", message=".*integer column.*", category=UserWarning)
    settings.home.mkdir(parents=True, exist_ok=True)
    try:
        mlflow.set_tracking_uri(settings.mlflow_uri)
        mlflow.set_registry_uri(settings.mlflow_uri)
        client = mlflow.MlflowClient(settings.mlflow_uri, settings.mlflow_uri)
        return Models(client, _experiment(client, settings), settings.mlflow.model_name)
    except (MlflowException, SQLAlchemyError, OSError) as error:
        raise ServiceError(
            f"MLflow at {_shown(settings.mlflow_uri)} cannot be used: {error}. "
            "Check WEEKAHEAD_MLFLOW__TRACKING_URI and that the server is running."
        ) from error


def is_used(settings: Settings) -> bool:
    """Whether there may be runs; a fresh home has no database, and creating one is slow."""
    own = settings.mlflow.tracking_uri is None
    return not own or (settings.home / DATABASE).exists()


def close_dead_runs(models: Models, home: Path) -> None:
    """Mark runs left behind by killed training processes of a home as killed.

    Only one training runs at a time in a home, so every run found is dead.

    Args:
        models: MLflow.
        home: The home.
    """
    running = models.client.search_runs(
        [models.experiment],
        filter_string=f"tags.`{TAG}home` = '{home_name(home)}' and attributes.status = 'RUNNING'",
    )
    for run in running:
        models.client.set_terminated(run.info.run_id, status="KILLED")


def home_name(home: Path) -> str:
    """Identifies a home among those that may share a server."""
    # The name is quoted in search filters.
    return f"{platform.node()}:{home.absolute()}".replace("'", "_")


def last_run(models: Models, **tags: str) -> "Run | None":
    """The latest finished training run with certain tags.

    Args:
        models: MLflow.
        **tags: Values of tags, named without the ``weekahead.`` prefix.

    Returns:
        The run; None if there is none.
    """
    wanted = [f"tags.`{TAG}{name}` = '{value}'" for name, value in tags.items()]
    runs = models.client.search_runs(
        [models.experiment],
        filter_string=" and ".join([*wanted, "attributes.status = 'FINISHED'"]),
        max_results=1,
    )
    return runs[0] if runs else None


def _experiment(client: "MlflowClient", settings: Settings) -> str:
    """Id of the experiment of the training runs; created on first use."""
    experiment = client.get_experiment_by_name(settings.mlflow.experiment)
    if experiment is not None:
        return str(experiment.experiment_id)
    return str(
        client.create_experiment(
            settings.mlflow.experiment,
            artifact_location=f"s3://{settings.s3.artifacts_bucket}/mlflow",
        )
    )


def _point(settings: Settings) -> None:
    """Direct MLflow's calls of this process to these services.

    MLflow reads its credentials from the environment and from boto3's default session at each call,
    long after a client was opened; this is the only place that sets them.
    """
    import boto3

    # Restores what the previous call replaced.
    _pointed.close()
    _pointed.enter_context(temporary_environment(_environment(settings)))
    _pointed.callback(setattr, boto3, "DEFAULT_SESSION", boto3.DEFAULT_SESSION)
    # Keep the keys out of the environment, which child processes inherit.
    boto3.setup_default_session(
        aws_access_key_id=settings.s3.access_key,
        aws_secret_access_key=settings.s3.secret_key.get_secret_value(),
        region_name=settings.s3.region,
    )


def _environment(settings: Settings) -> dict[str, str]:
    wanted = {
        # MLflow would load any pickle that it finds; only registry.load may read models.
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        # MLflow would print links before the JSON of --json.
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
