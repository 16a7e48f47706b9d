"""Writes a training run to MLflow, and reads its figures back."""

import json
import platform
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lakehouse.connections.tracking import TAG, Models
from lakehouse.forecasting.development import Development
from lakehouse.forecasting.forecaster import Forecaster, output_columns
from lakehouse.models import registry
from lakehouse.panel.dataset import Dataset
from lakehouse.settings.forecast import ForecastSettings

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.data.dataset import Dataset as MlflowDataset

LIBRARIES = ("numpy", "pandas", "scipy", "scikit-learn", "skops", "pyarrow")
REFERENCE_ROWS = 5000
SIGNATURE_ROWS = 20


@dataclass(frozen=True)
class Candidate:
    """A candidate's figures, for reports.

    Attributes:
        kind: The point model or scale model.
        run_id: Its MLflow run.
        selection: Loss before the gate, relative to the last price (point models) or to the 21-day
            deviation (scale models).
        figures: Metrics by name and horizon, such as ``mae_vs_drift_h5``.
    """

    kind: str
    run_id: str
    selection: float
    figures: dict[str, float]


def library_versions() -> dict[str, str]:
    """Versions of Python and the libraries that the figures may depend on."""
    return {"python": platform.python_version()} | {name: installed(name) for name in LIBRARIES}


def log_training(
    models: Models,
    settings: ForecastSettings,
    development: Development,
    *,
    tags: Mapping[str, str],
    snapshots: Mapping[str, int | None],
    digest: str,
) -> tuple[str, tuple[Candidate, ...]]:
    """Write the training run with one nested run per candidate; the training's run stays open.

    Args:
        models: MLflow.
        settings: Become parameters of the run.
        development: The validated candidates.
        tags: Tags of the run, named without the ``weekahead.`` prefix.
        snapshots: The lake's snapshots that the data came from, by table.
        digest: SHA-256 of the data.

    Returns:
        The id of the training's run, and the point models, best first.
    """
    from lakehouse.models import training_charts as charts

    client, experiment = models.client, models.experiment
    dataset = _source(development.dataset, snapshots, digest)
    parent = client.create_run(experiment, run_name="training", tags=_tags(tags))
    parent_id = str(parent.info.run_id)
    params = {"rows": len(development.dataset.frame), "features": development.dataset.features}
    _log(client, parent_id, params | settings.model_dump(), dataset)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        development.scheme.to_csv(folder / "validation_scheme.csv", index=False)
        development.table.to_csv(folder / "metrics.csv", index=False)
        development.band_table.to_csv(folder / "bands.csv", index=False)
        charts.draw(development.scheme, development.table, development.band_table, folder)
        client.log_artifacts(parent_id, str(folder))
    found: dict[str, list[Candidate]] = {}
    for part, candidates in (
        ("point", figures(development)),
        ("scale", scale_figures(development)),
    ):
        found[part] = []
        for candidate in candidates:
            nested = _tags({"kind": candidate.kind, "part": part})
            nested |= {"mlflow.parentRunId": parent_id}
            name = candidate.kind if part == "point" else f"bands: {candidate.kind}"
            run_id = str(client.create_run(experiment, run_name=name, tags=nested).info.run_id)
            _log(client, run_id, {"kind": candidate.kind, "part": part}, dataset)
            log_figures(client, run_id, candidate.figures)
            client.set_terminated(run_id)
            found[part].append(replace(candidate, run_id=run_id))
    return parent_id, tuple(found["point"])


def figures(development: Development) -> tuple[Candidate, ...]:
    """The point models with their figures, best first; not logged to a run yet."""
    found = [
        Candidate(kind, "", development.selection[kind], development.point_figures(kind))
        for kind in development.results
    ]
    return tuple(sorted(found, key=lambda candidate: candidate.selection))


def scale_figures(development: Development) -> tuple[Candidate, ...]:
    """The scale models with their figures, best first; not logged to a run yet."""
    found = [
        Candidate(scale, "", loss, development.band_figures(scale))
        for scale, loss in development.band_selection.items()
    ]
    return tuple(sorted(found, key=lambda candidate: candidate.selection))


def log_figures(
    client: "MlflowClient", run_id: str, found: Mapping[str, float], model: str = ""
) -> None:
    """Write metrics to a run, and to the model logged in it.

    Call it after logging the model: MLflow copies the metrics that a run already has to the model,
    with one request each. With hundreds of metrics that took a third of the training time.

    Args:
        client: MLflow.
        run_id: The run.
        found: Metrics by name.
        model: The model's URI (``models:/…``); empty if there is none.
    """
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    model_id = model.removeprefix("models:/") or None
    metrics = [Metric(name, value, now, 0, model_id=model_id) for name, value in found.items()]
    client.log_batch(run_id, metrics=metrics)


def pair_run(models: Models, parent: str, kind: str, scale: str) -> str:
    """Start the run of a pair of point and scale model that becomes a version.

    Args:
        models: MLflow.
        parent: Id of the training's run.
        kind: The point model.
        scale: The scale model.

    Returns:
        The id of the new run.
    """
    tags = _tags({"kind": kind, "scale": scale, "part": "pair"}) | {"mlflow.parentRunId": parent}
    name = f"{kind} with bands of {scale}"
    run = models.client.create_run(models.experiment, run_name=name, tags=tags)
    return str(run.info.run_id)


def log_model(
    client: "MlflowClient",
    development: Development,
    model: Forecaster,
    run_id: str,
) -> str:
    """Store a model with its twin for later gates, a sample of its features, and its reliability.

    Args:
        client: MLflow.
        development: Gives the twin and the features.
        model: The calibrated forecaster.
        run_id: The run to log to; it is finished afterwards.

    Returns:
        The model's URI for the registry.
    """
    import mlflow
    import pandas as pd
    from mlflow.models import infer_signature

    from lakehouse.models import training_charts as charts

    inputs = development.dataset.inputs
    sample = inputs.tail(SIGNATURE_ROWS)
    outputs = pd.DataFrame(model.predict(sample), columns=output_columns(model.horizons))
    with mlflow.start_run(run_id=run_id, log_system_metrics=False):
        info = mlflow.sklearn.log_model(
            model,
            name=registry.MODEL,
            serialization_format="skops",
            skops_trusted_types=list(registry.TRUSTED),
            signature=infer_signature(sample, outputs),
            pip_requirements=[f"{name}=={installed(name)}" for name in LIBRARIES],
        )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        twin = development.walk.pair(model.kind, model.scale).gate_model
        registry.dump(twin, folder / registry.TWIN_FILE)
        _reference(development.dataset).to_parquet(folder / registry.REFERENCE_FILE, index=False)
        said = development.reliability(model.kind, model.scale)
        said.to_csv(folder / "reliability.csv", index=False)
        charts.save({"reliability": charts.reliability_chart(said)}, folder)
        client.log_artifacts(run_id, str(folder))
    return str(info.model_uri)


def read_candidates(models: Models, run_id: str, part: str = "point") -> tuple[Candidate, ...]:
    """Read the candidates of an earlier training.

    Args:
        models: MLflow.
        run_id: The training's run.
        part: ``point`` or ``scale``.

    Returns:
        The candidates with their figures, best first.
    """
    runs = models.client.search_runs(
        [models.experiment],
        filter_string=f"tags.`mlflow.parentRunId` = '{run_id}' and tags.`{TAG}part` = '{part}'",
    )
    found = [
        Candidate(
            run.data.tags[f"{TAG}kind"],
            str(run.info.run_id),
            run.data.metrics["selection"],
            dict(run.data.metrics),
        )
        for run in runs
    ]
    return tuple(sorted(found, key=lambda candidate: candidate.selection))


@contextmanager
def finishing(client: "MlflowClient", run_id: str) -> Iterator[None]:
    """Mark a run as finished at the end, or as failed if an exception is raised.

    Args:
        client: MLflow.
        run_id: The run.
    """
    try:
        yield
    except BaseException:
        client.set_terminated(run_id, status="FAILED")
        raise
    client.set_terminated(run_id)


def _tags(tags: Mapping[str, str]) -> dict[str, str]:
    return {f"{TAG}{name}": value for name, value in tags.items()}


def _log(
    client: "MlflowClient",
    run_id: str,
    params: Mapping[str, Any],
    dataset: "MlflowDataset",
) -> None:
    from mlflow.entities import DatasetInput, Param

    client.log_batch(run_id, params=[Param(name, _text(value)) for name, value in params.items()])
    client.log_inputs(run_id, [DatasetInput(dataset._to_mlflow_entity(), tags=[])])


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _source(dataset: Dataset, snapshots: Mapping[str, int | None], digest: str) -> "MlflowDataset":
    from mlflow.data import pandas_dataset
    from mlflow.data.code_dataset_source import CodeDatasetSource

    tags = {f"iceberg.{table}": str(snapshot) for table, snapshot in snapshots.items()}
    # MLflow stores only the schema and the digest, so a few rows suffice.
    found: MlflowDataset = pandas_dataset.from_pandas(
        dataset.inputs.tail(SIGNATURE_ROWS),
        source=CodeDatasetSource(tags=tags),
        name="marts.fct_features",
        digest=digest[:36],
    )
    return found


def _reference(dataset: Dataset) -> Any:
    """An evenly spaced sample of the features, as the reference for drift."""
    step = max(len(dataset.frame) // REFERENCE_ROWS, 1)
    rows = np.arange(len(dataset.frame) - 1, -1, -step)[::-1]
    return dataset.frame[dataset.features].iloc[rows]
