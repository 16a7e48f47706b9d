"""Feature drift: whether today's features are distributed like the training data."""

import tempfile
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import stats

from lakehouse.models import registry
from lakehouse.settings.forecast import ForecastSettings

if TYPE_CHECKING:
    from mlflow import MlflowClient

SIGNIFICANCE = 0.01
# A quarter never contains every month, so calendar features always differ.
CALENDAR = ["day_of_week", "month"]
LEAST_ROWS = 20


def measure(
    reference: pd.DataFrame, current: pd.DataFrame, settings: ForecastSettings
) -> list[dict[str, Any]]:
    """Compare each feature by the two-sample Kolmogorov-Smirnov distance.

    Neighbouring rows are far from independent, so p-values (corrected for the number of features by
    Benjamini & Hochberg) are too small. A feature has drifted only if the distance exceeds
    ``drift_limit`` as well.

    Args:
        reference: Features at training, one column each.
        current: Recent features, one column each.
        settings: Gives ``drift_limit``, a distance between 0 and 1.

    Returns:
        One row per feature in both frames, in the order of the reference; features with fewer
        than 20 values are skipped.
    """
    rows: list[dict[str, Any]] = []
    for name in reference.columns.intersection(current.columns).difference(CALENDAR, sort=False):
        then, now = (frame[name].dropna().to_numpy() for frame in (reference, current))
        if min(len(then), len(now)) < LEAST_ROWS:
            continue
        result = stats.ks_2samp(then, now, method="asymp")
        rows.append(
            {
                "feature": str(name),
                "statistic": float(result.statistic),
                "p_value": float(result.pvalue),
                "reference_rows": len(then),
                "current_rows": len(now),
            }
        )
    if not rows:
        return rows
    adjusted = stats.false_discovery_control([row["p_value"] for row in rows])
    for row, p_value in zip(rows, np.asarray(adjusted).tolist(), strict=True):
        row["p_value"] = p_value
        row["drifted"] = row["statistic"] > settings.drift_limit and p_value < SIGNIFICANCE
    return rows


def against_version(
    client: "MlflowClient", version: Any, current: pd.DataFrame, settings: ForecastSettings
) -> list[dict[str, Any]]:
    """Compare recent features with those that a model version was trained on.

    Args:
        client: MLflow.
        version: The model version; its run holds the reference features.
        current: Recent features, one column each.
        settings: Gives ``drift_limit``.

    Returns:
        Rows of ``ml.feature_drift``.

    Raises:
        UntrustedModel: The stored reference is larger than we would store.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = registry.artifact(client, version, registry.REFERENCE_FILE, folder)
        reference = pd.read_parquet(path)
    head = {
        "measured_at": datetime.now(UTC),
        "model_name": version.name,
        "model_version": str(version.version),
    }
    return [head | row for row in measure(reference, current, settings)]
