"""Applies the gate: the current champion, the decision, and its record."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyiceberg.io.pyarrow import schema_to_pyarrow

from catalog.merge import append, merge
from catalog.tables import GATE_CRITERIA, GATE_DECISIONS
from lakehouse.connections.tracking import TAG, Models
from lakehouse.errors import WeekaheadError
from lakehouse.forecasting.band_metrics import band_loss
from lakehouse.forecasting.criterion import Criterion
from lakehouse.forecasting.development import Development
from lakehouse.forecasting.forecaster import OUTPUTS
from lakehouse.forecasting.gate import BAND, Champion, Comparison, Verdict, decide, loss
from lakehouse.forecasting.scales import REFERENCE
from lakehouse.models import registry
from lakehouse.panel.dataset import Floats, unique_dates
from lakehouse.platform import Platform
from lakehouse.settings.forecast import ForecastSettings

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from pyiceberg.catalog import Catalog


def present_champion(models: Models, development: Development) -> Champion | None:
    """The current champion, with its twin's forecasts for the gate's window.

    Args:
        models: MLflow.
        development: The data and the gate's window.

    Returns:
        The champion; None if no model serves yet.
    """
    version = registry.champion(models)
    if version is None:
        return None
    outputs, problem, broken = _twin_forecast(models.client, version, development)
    return Champion(
        str(version.version),
        registry.version_kind(version),
        date.fromisoformat(version.tags[f"{TAG}trained_until"]),
        None if outputs is None else outputs[:, :, 0],
        problem,
        broken,
        registry.version_scale(version),
        None if outputs is None else outputs[:, :, 1:],
    )


def _twin_forecast(
    client: "MlflowClient", version: Any, development: Development
) -> tuple[Floats | None, str, bool]:
    """Forecasts of the twin for the window, or why there are none, and whether it is unusable.

    Point and bounds have the shape (n, horizons, 5).
    """
    cutoff = date.fromisoformat(version.tags[f"{TAG}gate_cutoff"])
    if cutoff > development.gate.cutoff:
        return None, f"it has seen the window (its own gate began after {cutoff})", False
    inputs = development.dataset.inputs
    strangers = set(development.dataset.sources) - set(registry.version_sources(version))
    if strangers:
        # One model serves all sources, but only those that it was trained on.
        return None, f"it has never seen {', '.join(sorted(strangers))}", True
    try:
        twin = registry.load_twin(client, version)
    except WeekaheadError as error:
        return None, str(error), True
    missing = sorted(set(twin.columns_) - set(inputs.columns))
    if missing or twin.horizons != development.dataset.targets.shape[1]:
        return None, f"features or horizons changed ({', '.join(missing) or 'horizons'})", True
    window = development.gate.test_rows(development.dataset)
    try:
        # Include the intervals: a model that cannot serve them must not stay champion.
        outputs = twin.predict(inputs.iloc[window])
        return outputs.reshape(len(outputs), twin.horizons, len(OUTPUTS)), "", False
    except AttributeError as error:
        # Stored by an earlier version of the candidates, with other attributes.
        return None, f"it was stored by other code ({error})", True


def gate_decision(
    development: Development, champion: Champion | None, settings: ForecastSettings
) -> Verdict:
    """Let the gate decide on a development's challengers: first the point, then the band.

    Args:
        development: The validated candidates.
        champion: The current champion; None if no model serves yet.
        settings: Margin, confidence and refresh interval.

    Returns:
        Both decisions.
    """
    champion_loss, champion_band_loss = None, None
    new_days = 0
    if champion is not None:
        new_days = int(
            np.count_nonzero(
                unique_dates(development.dataset) > np.datetime64(champion.trained_until, "D")
            )
        )
        window = development.gate.test_rows(development.dataset)
        actual, dates = development.dataset.targets[window], development.dataset.dates[window]
        if champion.returns is not None:
            champion_loss = loss(actual, champion.returns, dates)
        if champion.edges is not None:
            champion_band_loss = band_loss(actual, champion.edges, dates)
    point = decide(
        development.challenger,
        development.gate_losses(),
        champion,
        champion_loss,
        new_days,
        settings,
    )
    band = decide(
        development.band_challenger,
        # Bands are judged around the point that will serve, the champion's around its own.
        development.gate_band_losses(point.serves),
        champion,
        champion_band_loss,
        new_days,
        settings,
        BAND,
    )
    return Verdict(point, band)


def write_down(lake: "Catalog", criterion: Criterion) -> None:
    """Store the gate's criterion in the lake, with the time; an existing one is not changed.

    Args:
        lake: The catalog.
        criterion: The criterion of this training run.

    Raises:
        CatalogUnavailable: The catalog does not answer.
        CommitConflict: Other writers won every attempt.
    """
    row = {"criterion": criterion.digest, "text": criterion.text, "written_at": datetime.now(UTC)}
    merge(
        lake,
        GATE_CRITERIA,
        pa.Table.from_pylist(
            [row], schema=schema_to_pyarrow(GATE_CRITERIA.schema, include_field_ids=False)
        ),
        commit_id=f"criterion-{criterion.digest}",
        replace=False,
    )


def record_decision(
    platform: Platform,
    development: Development,
    verdict: Verdict,
    champion: Champion | None,
    *,
    run_id: str | None,
    versions: Mapping[tuple[str, str], str],
    criterion: Criterion,
    dry_run: bool,
) -> None:
    """Append the gate's decision to the lake, from which the dashboards read it.

    Args:
        platform: Gives the lake; names the model.
        development: Gives the gate's window.
        verdict: Both decisions.
        champion: The champion before the decision; None if there was none.
        run_id: MLflow run of the training; makes a repeated append a no-op.
        versions: Registered versions by point and scale model.
        criterion: The criterion that was applied.
        dry_run: Whether the decision was not carried out.

    Raises:
        CatalogUnavailable: The catalog does not answer.
        CommitConflict: Other writers won every attempt.
    """
    now = datetime.now(UTC)
    serving = versions.get(verdict.serves) if verdict.changes else None
    point, band = verdict.point.comparisons, verdict.band.comparisons
    challenger_kind, challenger_scale = verdict.challenger
    serving_kind, serving_scale = verdict.serves
    row = {
        "decided_at": now,
        "model_name": platform.settings.mlflow.model_name,
        "challenger_version": versions.get(verdict.challenger),
        "challenger_kind": challenger_kind,
        "challenger_scale": challenger_scale,
        "champion_version": champion.version if champion else None,
        "serving_version": serving or (champion.version if champion else None),
        "serving_kind": serving_kind,
        "serving_scale": serving_scale,
        "promoted": verdict.changes and not dry_run,
        "dry_run": dry_run,
        "reason": verdict.reason,
        "relative_mae_last_price": _relative(point, "last_price"),
        "relative_mae_drift": _relative(point, "drift"),
        "relative_mae_champion": _relative(point, "champion"),
        "p_value": max((c.p_value for c in point), default=None),
        "relative_pinball_reference": _relative(band, REFERENCE),
        "relative_pinball_champion": _relative(band, "champion"),
        "band_p_value": max((c.adjusted_p for c in band), default=None),
        "criterion": criterion.digest,
        "window_start": development.gate.test_start,
        "window_end": development.gate.test_end,
    }
    append(
        platform.lake,
        GATE_DECISIONS,
        pa.Table.from_pylist([row], schema=_decision_schema()),
        commit_id=f"gate-{run_id or pd.Timestamp(now).isoformat()}",
    )


def _relative(comparisons: tuple[Comparison, ...], against: str) -> float | None:
    found = [one.relative_mae for one in comparisons if one.against == against]
    return found[0] if found else None


def _decision_schema() -> pa.Schema:
    return schema_to_pyarrow(GATE_DECISIONS.schema, include_field_ids=False)
