"""The model registry: versions, champion alias, loading that cannot execute code, rollback.

Models are stored with skops. MLflow would trust the types that a model's own description lists;
here the list is fixed, and everything else, above all pickle, is refused.
"""

import json
import logging
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakehouse.connections.tracking import TAG, Models
from lakehouse.errors import DataError, UsageError
from lakehouse.forecasting.candidates import CANDIDATES
from lakehouse.forecasting.forecaster import Forecaster
from lakehouse.forecasting.parts import Points, Scales
from lakehouse.forecasting.scales import REFERENCE, SCALES
from lakehouse.models.serving import ALIAS

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

# Tag with the time at which a version first served.
PROMOTED = f"{TAG}promoted_at"
MODEL = "model"
DESCRIPTION_FILE = "MLmodel"
MODEL_FILE = "model.skops"
MAX_BYTES = 2**30
MAX_DESCRIPTION_BYTES = 2**20
TWIN_FILE = "gate_model.skops"
REFERENCE_FILE = "feature_reference.parquet"
log = logging.getLogger("weekahead")
TRUSTED = (
    *(
        f"{kind.__module__}.{kind.__qualname__}"
        for kind in (Forecaster, Points, Scales, *CANDIDATES.values(), *SCALES.values())
    ),
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "numpy.dtype",
)


class UntrustedModel(DataError):
    """A stored model is not in the only format that cannot execute code when loaded."""


@dataclass(frozen=True)
class RollbackReport:
    """A manual change of the champion.

    Attributes:
        model: Name in the registry.
        replaced: Version that served before.
        serves: Version that serves now.
    """

    model: str
    replaced: str
    serves: str

    def to_dict(self) -> dict[str, Any]:
        """The report as a dictionary, for JSON."""
        return asdict(self)


def champion(models: Models) -> "ModelVersion | None":
    """The serving version.

    Args:
        models: MLflow.

    Returns:
        The version with the champion alias; None if there is none.

    Raises:
        MlflowException: MLflow does not answer.
    """
    from mlflow.exceptions import MlflowException

    try:
        return models.client.get_model_version_by_alias(models.name, ALIAS)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def require_champion(models: Models) -> "ModelVersion":
    """The serving version, which must exist.

    Args:
        models: MLflow.

    Returns:
        The version with the champion alias.

    Raises:
        UsageError: No model serves yet.
    """
    version = champion(models)
    if version is None:
        raise UsageError(f"No model of {models.name} serves yet: run 'weekahead train' first.")
    return version


def get_version(models: Models, version: str) -> "ModelVersion":
    """Look up a version by number or alias.

    Args:
        models: MLflow.
        version: A number such as ``3`` or ``v3``, or ``champion``.

    Returns:
        The version.

    Raises:
        UsageError: There is no such version; the message lists the existing ones.
    """
    from mlflow.exceptions import MlflowException

    if version == ALIAS:
        return require_champion(models)
    client, name = models.client, models.name
    try:
        return client.get_model_version(name, version.removeprefix("v"))
    except (MlflowException, ValueError) as error:
        known = sorted(
            (int(found.version) for found in client.search_model_versions(f"name='{name}'")),
        )
        raise UsageError(
            f"{name} has no version {version}; there are: "
            f"{', '.join(map(str, known)) or 'none, run weekahead train first'}."
        ) from error


def register(
    models: Models,
    *,
    source: str,
    run_id: str,
    tags: Mapping[str, str],
    description: str,
) -> "ModelVersion":
    """Register a model version, and the model itself on first use.

    Args:
        models: MLflow.
        source: URI of the logged model.
        run_id: MLflow run that produced it.
        tags: Tags of the version, with the ``weekahead.`` prefix.
        description: The model card, in Markdown.

    Returns:
        The new version, which does not serve yet.
    """
    from mlflow.exceptions import MlflowException

    client, name = models.client, models.name
    try:
        client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        client.create_registered_model(name, description="Five-day stock price forecasts.")
    # Unlike a database, a server accepts a logged model as the source only with its model id.
    _, logged, model_id = source.partition("models:/")
    return client.create_model_version(
        name,
        source,
        run_id=run_id,
        tags=dict(tags),
        description=description,
        model_id=model_id if logged else None,
    )


def promote(models: Models, version: str) -> None:
    """Make a version the champion.

    Args:
        models: MLflow.
        version: Number of the version.
    """
    models.client.set_model_version_tag(models.name, version, PROMOTED, now())
    models.client.set_registered_model_alias(models.name, ALIAS, version)


def dump(model: Forecaster, path: Path) -> None:
    """Store a model as a skops file.

    Args:
        model: The model; contains only types in ``TRUSTED``.
        path: The file to write.
    """
    import skops.io

    skops.io.dump(model, path)


def load_file(path: Path) -> Forecaster:
    """Load a model from a file that ``dump`` wrote.

    Raises:
        UntrustedModel: The file contains foreign types, is too large, or is not a skops file.
    """
    import skops.io

    try:
        with zipfile.ZipFile(path) as archive:
            # A small archive can unpack to more than fits into memory.
            _require_size(path.name, sum(member.file_size for member in archive.infolist()))
        model = skops.io.load(path, trusted=list(TRUSTED))
    except UntrustedModel:
        raise
    # A malicious file can make the library raise any exception.
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise UntrustedModel(
            f"{path.name} is refused: {reason}. Only models that weekahead stored are loaded; "
            "train again or roll back."
        ) from error
    if not isinstance(model, Forecaster):
        raise UntrustedModel(
            f"{path.name} is refused: it holds a {type(model).__name__}, not a forecaster. "
            "Train again or roll back."
        )
    return model


def load(version: "ModelVersion") -> Forecaster:
    """Load a version's model.

    Only its two files are fetched, by fixed names, because the artifact's own file list is
    controlled by whoever stored it.

    Raises:
        UntrustedModel: It is not stored in our format.
    """
    import yaml
    from mlflow.artifacts import download_artifacts, list_artifacts

    label = f"{version.name} v{version.version}"
    uri = f"models:/{version.name}/{version.version}"
    sizes = {found.path: found.file_size or 0 for found in list_artifacts(artifact_uri=uri)}
    with tempfile.TemporaryDirectory() as folder:
        fetched = {}
        for name, most in ((DESCRIPTION_FILE, MAX_DESCRIPTION_BYTES), (MODEL_FILE, MAX_BYTES)):
            if name in sizes:
                _require_size(f"{name} of {label}", sizes[name], most)
                local = download_artifacts(artifact_uri=f"{uri}/{name}", dst_path=folder)
                fetched[name] = Path(local)
        try:
            description = yaml.safe_load(fetched[DESCRIPTION_FILE].read_text())
            format_ = description["flavors"]["sklearn"]["serialization_format"]
        except (KeyError, TypeError, ValueError, yaml.YAMLError):
            format_ = "an unknown format"
        if format_ != "skops" or MODEL_FILE not in fetched:
            raise UntrustedModel(
                f"{label} is refused: it is stored as {format_!s:.80}, and only skops is loaded. "
                "Train again or roll back."
            )
        return load_file(fetched[MODEL_FILE])


def load_twin(client: "MlflowClient", version: "ModelVersion") -> Forecaster:
    """Load a version's twin: the same recipe fitted without its gate's window.

    Args:
        client: MLflow.
        version: The version.

    Returns:
        The twin.

    Raises:
        UntrustedModel: It is not stored in our format.
    """
    with tempfile.TemporaryDirectory() as folder:
        return load_file(artifact(client, version, TWIN_FILE, folder))


def artifact(client: "MlflowClient", version: "ModelVersion", path: str, folder: str) -> Path:
    """Download a file of the run that produced a version.

    Args:
        client: MLflow.
        version: The version.
        path: Path of the file within the run's artifacts.
        folder: Local directory to download to.

    Returns:
        The local file.

    Raises:
        UntrustedModel: It is larger than anything we store.
    """
    run = str(version.run_id)
    for found in client.list_artifacts(run):
        if found.path == path:
            _require_size(f"{path} of {version.name} v{version.version}", found.file_size or 0)
    return Path(client.download_artifacts(run, path, folder))


def _require_size(name: str, size: int, most: int = MAX_BYTES) -> None:
    if size > most:
        raise UntrustedModel(
            f"{name} is refused: {size / 2**20:,.0f} MiB is more than the {most / 2**20:,.0f} MiB "
            "allowed for a model. Train again or roll back."
        )


def version_kind(version: "ModelVersion") -> str:
    """The point model of a version."""
    return str(version.tags.get(f"{TAG}kind", ""))


def version_scale(version: "ModelVersion") -> str:
    """The scale model of a version; versions older than scale models have the reference."""
    return str(version.tags.get(f"{TAG}scale", REFERENCE))


def version_sources(version: "ModelVersion") -> list[str]:
    """The sources that a version was trained on."""
    return list(json.loads(version.tags.get(f"{TAG}sources", "[]")))


def rollback(models: Models, version: str | None = None) -> RollbackReport:
    """Make an earlier version the champion again.

    Args:
        models: MLflow.
        version: The version; by default the one that served before the current champion.

    Returns:
        The replaced and the serving version.

    Raises:
        UsageError: There is no champion, no such version, or no earlier one; or the version already
            serves.
    """
    current = require_champion(models)
    target = _previous(models, current) if version is None else get_version(models, version)
    if target.version == current.version:
        raise UsageError(f"v{current.version} already serves.")
    client, name = models.client, models.name
    client.set_model_version_tag(name, current.version, f"{TAG}rolled_back_at", now())
    if PROMOTED not in target.tags:
        client.set_model_version_tag(name, target.version, PROMOTED, now())
    client.set_registered_model_alias(name, ALIAS, target.version)
    log.info(f"{name}: v{target.version} serves instead of v{current.version}")
    return RollbackReport(name, str(current.version), str(target.version))


def _previous(models: Models, current: "ModelVersion") -> "ModelVersion":
    served = [
        found
        for found in models.client.search_model_versions(f"name='{models.name}'")
        if PROMOTED in found.tags and found.tags[PROMOTED] < current.tags.get(PROMOTED, now())
    ]
    if not served:
        raise UsageError(f"No version served before v{current.version}; name one to roll back to.")
    return max(served, key=lambda found: found.tags[PROMOTED])


def snapshot_tag(version: "ModelVersion") -> str:
    """The tag of the lake's snapshots that a version was trained on."""
    return f"{version.name}-v{version.version}"


def now() -> str:
    """The current time in UTC, in the format of tags."""
    return datetime.now(UTC).isoformat(timespec="microseconds")
