"""Feature drift: do today's features still look like those a model was trained on?"""

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
# A quarter never holds every month; that is not drift.
CALENDAR = ["day_of_week", "month"]
LEAST_ROWS = 20


def measure(
    reference: pd.DataFrame, current: pd.DataFrame, settings: ForecastSettings
) -> list[dict[str, Any]]:
    """Compare each feature by the two-sample Kolmogorov-Smirnov distance.

    Neighbouring rows are far from independent, so p-values (corrected for the number of features
    by Benjamini & Hochberg) are too small; a feature has drifted only when the distance, too, is
    above ``drift_limit``.

    Returns:
        One row per feature that both sides hold, in the order of the reference.
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
    """Rows of ``ml.feature_drift`` for a model version."""
    with tempfile.TemporaryDirectory() as folder:
        path = registry.artifact(client, version, registry.REFERENCE_FILE, folder)
        reference = pd.read_parquet(path)
    head = {
        "measured_at": datetime.now(UTC),
        "model_name": version.name,
        "model_version": str(version.version),
    }
    return [head | row for row in measure(reference, current, settings)]
