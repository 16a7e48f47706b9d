"""The gate at work: what serves now, who is to serve, and the record of the decision."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyiceberg.io.pyarrow import schema_to_pyarrow

from catalog.connect import open_catalog
from catalog.merge import append
from catalog.tables import GATE_DECISIONS
from lakehouse.errors import WeekaheadError
from lakehouse.forecasting.development import Development
from lakehouse.forecasting.forecaster import OUTPUTS
from lakehouse.forecasting.gate import Champion, Decision, decide, loss
from lakehouse.models import registry
from lakehouse.models.tracking import TAG
from lakehouse.panel.dataset import Floats, unique_dates
from lakehouse.settings import Settings
from lakehouse.settings.forecast import ForecastSettings

if TYPE_CHECKING:
    from mlflow import MlflowClient


def present_champion(
    client: "MlflowClient", settings: Settings, development: Development
) -> Champion | None:
    """The present champion, with what its twin says of the gate's window."""
    version = registry.champion(client, settings)
    if version is None:
        return None
    returns, problem, broken = _twin_forecast(client, version, development)
    return Champion(
        str(version.version),
        registry.version_kind(version),
        date.fromisoformat(version.tags[f"{TAG}trained_until"]),
        returns,
        problem,
        broken,
    )


def _twin_forecast(
    client: "MlflowClient", version: Any, development: Development
) -> tuple[Floats | None, str, bool]:
    """What the twin says of the window; or why it cannot, and whether the model is beyond use."""
    cutoff = date.fromisoformat(version.tags[f"{TAG}gate_cutoff"])
    if cutoff > development.gate.cutoff:
        return None, f"it has seen the window (its own gate began after {cutoff})", False
    inputs = development.dataset.inputs
    strangers = set(development.dataset.sources) - set(registry.version_sources(version))
    if strangers:
        # One model serves all sources, but only those that it has learned from.
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
        # All of it, intervals too: what cannot be served must not stay champion.
        outputs = twin.predict(inputs.iloc[window])
        return outputs[:, :: len(OUTPUTS)], "", False
    except AttributeError as error:
        # Stored by an earlier version of the candidates, which knew other attributes.
        return None, f"it was stored by other code ({error})", True


def gate_decision(
    development: Development, champion: Champion | None, settings: ForecastSettings
) -> Decision:
    """Let the gate decide about a development's challenger."""
    losses = development.gate_losses()
    champion_loss = None
    new_days = 0
    if champion is not None:
        new_days = int(
            np.count_nonzero(
                unique_dates(development.dataset) > np.datetime64(champion.trained_until, "D")
            )
        )
        if champion.returns is not None:
            window = development.gate.test_rows(development.dataset)
            actual = development.dataset.targets[window]
            champion_loss = loss(actual, champion.returns, development.dataset.dates[window])
    return decide(development.challenger, losses, champion, champion_loss, new_days, settings)


def record_decision(
    settings: Settings,
    development: Development,
    decision: Decision,
    champion: Champion | None,
    *,
    run_id: str | None,
    versions: Mapping[str, str],
    dry_run: bool,
) -> None:
    """Append the gate's decision to the lake, from where it reaches the dashboards."""
    numbers = {comparison.against: comparison for comparison in decision.comparisons}

    def relative(name: str) -> float | None:
        return numbers[name].relative_mae if name in numbers else None

    now = datetime.now(UTC)
    serving = versions.get(decision.serves) if decision.changes else None
    row = {
        "decided_at": now,
        "model_name": settings.mlflow.model_name,
        "challenger_version": versions.get(decision.challenger),
        "challenger_kind": decision.challenger,
        "champion_version": champion.version if champion else None,
        "serving_version": serving or (champion.version if champion else None),
        "promoted": decision.changes and not dry_run,
        "dry_run": dry_run,
        "reason": decision.reason,
        "relative_mae_last_price": relative("last_price"),
        "relative_mae_drift": relative("drift"),
        "relative_mae_champion": relative("champion"),
        "p_value": max((c.p_value for c in decision.comparisons), default=None),
        "window_start": development.gate.test_start,
        "window_end": development.gate.test_end,
    }
    append(
        open_catalog(settings.catalog, settings.s3),
        GATE_DECISIONS,
        pa.Table.from_pylist([row], schema=_decision_schema()),
        commit_id=f"gate-{run_id or pd.Timestamp(now).isoformat()}",
    )


def _decision_schema() -> pa.Schema:
    return schema_to_pyarrow(GATE_DECISIONS.schema, include_field_ids=False)
