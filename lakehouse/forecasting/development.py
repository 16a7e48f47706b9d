"""From a dataset to validated candidates: everything of training but the services around it."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from lakehouse.forecasting import metrics, walkforward
from lakehouse.forecasting.candidates import CANDIDATES
from lakehouse.forecasting.forecaster import Forecaster
from lakehouse.forecasting.gate import loss
from lakehouse.forecasting.intervals import scores
from lakehouse.forecasting.walkforward import Execute, OutOfSample
from lakehouse.panel.dataset import Dataset, Floats, unique_dates
from lakehouse.panel.validation import Fold, plan, scheme
from lakehouse.settings.forecast import ForecastSettings

log = logging.getLogger("weekahead")
REPORTED = (
    "mae",
    "mae_vs_last_price",
    "mae_vs_drift",
    "rmse",
    "pinball",
    "rank_ic",
    "rank_icir",
    "hit_rate",
    "hit_low",
    "hit_high",
    "always_up",
    "coverage_80",
    "coverage_95",
    "width_80",
    "width_95",
    "dm_vs_last_price",
    "p_vs_last_price",
    "dm_vs_drift",
    "p_vs_drift",
)


@dataclass(frozen=True)
class Development:
    """Validated candidates.

    Attributes:
        dataset: What they were fitted on.
        folds: The validation plan; the gate last.
        scheme: The plan as a table.
        results: Out-of-sample forecasts by candidate.
        table: All metrics, as ``metrics.evaluate`` returns them.
        selection: Loss in the folds before the gate relative to the last price, by candidate.
        challenger: The candidate with the smallest; the earlier one in the registry when equal.
    """

    dataset: Dataset
    folds: tuple[Fold, ...]
    scheme: pd.DataFrame
    results: dict[str, OutOfSample]
    table: pd.DataFrame
    selection: dict[str, float]
    challenger: str

    @property
    def gate(self) -> Fold:
        """The gate's window."""
        return self.folds[-1]

    def gate_losses(self) -> dict[str, Floats]:
        """Loss per date of the gate's window, by candidate."""
        return _losses(self.dataset, self.results, gate=True)

    def figures(self, kind: str) -> dict[str, float]:
        """A candidate's overall metrics by horizon, flat: ``mae_vs_drift_h5``, …."""
        overall = self.table[(self.table["group"] == "overall") & (self.table["candidate"] == kind)]
        return {
            f"{name}_h{row['horizon']}": float(row[name])
            for row in overall.to_dict("records")
            for name in REPORTED
            if name in row and np.isfinite(row[name])
        } | {"selection": self.selection[kind]}


def develop(
    dataset: Dataset,
    settings: ForecastSettings,
    *,
    workspace: Path,
    kinds: tuple[str, ...] = tuple(CANDIDATES),
    execute: Execute | None = None,
) -> Development:
    """Validate all candidates on a dataset.

    Raises:
        NotEnoughData: The history is too short for the windows.
    """
    folds = plan(unique_dates(dataset), settings)
    rows = len(dataset.frame)
    log.info(f"walk-forward: {len(kinds)} candidates, {len(folds)} windows, {rows} rows")
    results = walkforward.run(dataset, folds, kinds, settings, workspace=workspace, execute=execute)
    table = metrics.evaluate(dataset, results)
    means = {k: float(v.mean()) for k, v in _losses(dataset, results, gate=False).items()}
    selection = {kind: mean / means["last_price"] for kind, mean in means.items()}
    return Development(
        dataset,
        folds,
        scheme(dataset, folds),
        results,
        table,
        selection,
        min(selection, key=lambda kind: selection[kind]),
    )


def serving_model(development: Development, kind: str, settings: ForecastSettings) -> Forecaster:
    """Fit a candidate on every row with a label, and calibrate it on the out-of-sample scores."""
    dataset, result = development.dataset, development.results[kind]
    model = walkforward.fit(dataset, kind, dataset.targets, settings)
    unseen = scores(dataset.targets[result.rows], result.returns, result.scales)
    return model.calibrate(unseen, dataset.frame.iloc[result.rows])


def _losses(dataset: Dataset, results: dict[str, OutOfSample], *, gate: bool) -> dict[str, Floats]:
    losses = {}
    for kind, result in results.items():
        in_gate = result.folds == result.folds.max()
        part = in_gate if gate else ~in_gate
        rows = result.rows[part]
        losses[kind] = loss(dataset.targets[rows], result.returns[part], dataset.dates[rows])
    return losses
