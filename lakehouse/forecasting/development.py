"""From a dataset to validated candidates: all of training except the services around it."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from lakehouse.forecasting import metrics, walkforward
from lakehouse.forecasting.band_metrics import band_loss, edges_of, evaluate_bands
from lakehouse.forecasting.candidates import CANDIDATES
from lakehouse.forecasting.forecaster import Forecaster
from lakehouse.forecasting.gate import loss
from lakehouse.forecasting.intervals import scores
from lakehouse.forecasting.out_of_sample import OutOfSample, Walk
from lakehouse.forecasting.references import references
from lakehouse.forecasting.reliability import reliability, walk_chances
from lakehouse.forecasting.scales import REFERENCE, SCALES
from lakehouse.forecasting.walkforward import Execute
from lakehouse.panel.dataset import Dataset, Floats, Mask, unique_dates
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
    "rank_ic_low",
    "rank_ic_high",
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


BAND_REPORTED = (
    "pinball",
    "crps",
    "winkler_80",
    "winkler_95",
    "coverage_80",
    "coverage_95",
    "width_80",
    "width_95",
    f"pinball_vs_{REFERENCE}",
    f"dm_vs_{REFERENCE}",
    f"p_vs_{REFERENCE}",
)


@dataclass(frozen=True)
class Development:
    """Validated candidates.

    Attributes:
        dataset: The data they were fitted on.
        folds: The validation plan; the gate is last.
        scheme: The plan as a table.
        walk: Forecasts of every candidate for every window.
        selection: Loss before the gate relative to the last price, by point model.
        challenger: The point model with the smallest loss; on a tie, the first in the registry.
        band_selection: Loss before the gate relative to the 21-day deviation, by scale model.
        band_challenger: The scale model with the smallest loss.
    """

    dataset: Dataset
    folds: tuple[Fold, ...]
    scheme: pd.DataFrame
    walk: Walk
    selection: dict[str, float]
    challenger: str
    band_selection: dict[str, float]
    band_challenger: str

    @property
    def gate(self) -> Fold:
        """The gate's fold."""
        return self.folds[-1]

    @cached_property
    def results(self) -> dict[str, OutOfSample]:
        """Out-of-sample forecasts by point model, with the scale model that won before the gate."""
        return {kind: self.walk.pair(kind, self.band_challenger) for kind in self.walk.points}

    @cached_property
    def table(self) -> pd.DataFrame:
        """All metrics of the point models, with the scale model that won before the gate."""
        return metrics.evaluate(self.dataset, self.results)

    @cached_property
    def band_table(self) -> pd.DataFrame:
        """All scores of the scale models, around the drift, and of the references."""
        bands = {scale: self.walk.pair("drift", scale) for scale in self.walk.scales}
        return evaluate_bands(self.dataset, bands, references(self.walk))

    def gate_losses(self) -> dict[str, Floats]:
        """Loss per date in the gate's window, by point model."""
        return _losses(self.dataset, self.results, gate=True)

    def gate_band_losses(self, kind: str) -> dict[str, Floats]:
        """Loss per date in the gate's window, by scale model, around one point model."""
        bands = {scale: self.walk.pair(kind, scale) for scale in self.walk.scales}
        return _band_losses(self.dataset, bands, gate=True)

    def point_figures(self, kind: str) -> dict[str, float]:
        """A point model's overall metrics by horizon, flat: ``mae_vs_drift_h5``, …."""
        own = self.table[(self.table["group"] == "overall") & (self.table["candidate"] == kind)]
        return _flat(own, REPORTED) | {"selection": self.selection[kind]}

    def figures(self, kind: str, scale: str) -> dict[str, float]:
        """A pair's overall metrics by horizon, flat.

        Args:
            kind: A point model of the walk.
            scale: A scale model of the walk.

        Returns:
            Metrics by name and horizon, such as ``mae_vs_drift_h5`` and ``band_crps_h1``; those
            that are not finite are omitted. ``brier_up_h5`` and ``brier_move_h5`` score the
            probabilities, beside ``brier_base_up_h5`` and ``brier_base_move_h5``.
        """
        pair = {kind: self.walk.pair(kind, scale)}
        table = metrics.evaluate(self.dataset, self.results, judged=pair, overall=True)
        found = _flat(table, REPORTED) | {"selection": self.selection[kind]}
        found |= {f"band_{name}": value for name, value in self.band_figures(scale).items()}
        for row in self.reliability(kind, scale).to_dict("records"):
            for name in ("brier", "brier_base"):
                found[f"{name}_{row['event']}_h{row['horizon']}"] = float(row[name])
        return found

    def reliability(self, kind: str, scale: str) -> pd.DataFrame:
        """How often what a pair said was likely happened.

        Args:
            kind: A point model of the walk.
            scale: A scale model of the walk.

        Returns:
            The table that ``reliability.reliability`` gives.
        """
        pair, move = self.walk.pair(kind, scale), float(np.log1p(self.walk.settings.move))
        said = walk_chances(self.dataset, pair, self.folds, move)
        return reliability(self.dataset.targets[pair.rows], said, move)

    def band_figures(self, scale: str) -> dict[str, float]:
        """A scale model's scores by horizon, and its coverage by volatility, flat."""
        own = self.band_table[self.band_table["scale"] == scale]
        found = _flat(own[own["group"] == "overall"], BAND_REPORTED)
        for member, part in own[own["group"] == "volatility"].groupby("member"):
            found |= {
                f"coverage_80_{member}_h{row['horizon']}": float(row["coverage_80"])
                for row in part.to_dict("records")
            }
        return found | {"selection": self.band_selection[scale]}


def develop(
    dataset: Dataset,
    settings: ForecastSettings,
    *,
    workspace: Path,
    kinds: tuple[str, ...] = tuple(CANDIDATES),
    scales: tuple[str, ...] = tuple(SCALES),
    execute: Execute | None = None,
) -> Development:
    """Validate all candidates on a dataset.

    Args:
        dataset: Rows with features and targets.
        settings: Folds, windows, embargo and seed.
        workspace: Directory for files handed to workers.
        kinds: Point models to validate; by default all. Must include the baselines.
        scales: Scale models to validate; by default all. Must include the reference.
        execute: Runs the independent fits; by default threads of this process.

    Returns:
        The forecasts of all windows, and who did best before the gate.

    Raises:
        NotEnoughData: The history is too short for the windows.
    """
    folds = plan(unique_dates(dataset), settings)
    rows = len(dataset.frame)
    log.info(
        f"walk-forward: {len(kinds)} point models, {len(scales)} scale models, "
        f"{len(folds)} windows, {rows} rows"
    )
    walk = walkforward.run(
        dataset, folds, kinds, settings, workspace=workspace, scales=scales, execute=execute
    )
    bands = {scale: walk.pair("drift", scale) for scale in walk.scales}
    sizes = {k: float(v.mean()) for k, v in _band_losses(dataset, bands, gate=False).items()}
    band_selection = {scale: mean / sizes[REFERENCE] for scale, mean in sizes.items()}
    best = min(band_selection, key=lambda scale: band_selection[scale])
    results = {kind: walk.pair(kind, best) for kind in walk.points}
    means = {k: float(v.mean()) for k, v in _losses(dataset, results, gate=False).items()}
    selection = {kind: mean / means["last_price"] for kind, mean in means.items()}
    return Development(
        dataset,
        folds,
        scheme(dataset, folds),
        walk,
        selection,
        min(selection, key=lambda kind: selection[kind]),
        band_selection,
        best,
    )


def serving_model(
    development: Development, kind: str, settings: ForecastSettings, *, scale: str = REFERENCE
) -> Forecaster:
    """Fit a pair on every row with a label, and calibrate it on the out-of-sample scores.

    Args:
        development: The validated candidates.
        kind: A point model of the walk.
        settings: The settings of the validation.
        scale: A scale model of the walk.

    Returns:
        A calibrated forecaster, ready to be registered.
    """
    dataset, result = development.dataset, development.walk.pair(kind, scale)
    model = walkforward.fit(dataset, kind, dataset.targets, settings, scale=scale)
    unseen = scores(dataset.targets[result.rows], result.returns, result.scales)
    return model.calibrate(unseen, dataset.frame.iloc[result.rows])


def _flat(table: pd.DataFrame, names: tuple[str, ...]) -> dict[str, float]:
    return {
        f"{name}_h{row['horizon']}": float(row[name])
        for row in table.to_dict("records")
        for name in names
        if name in row and np.isfinite(row[name])
    }


def _losses(
    dataset: Dataset, results: Mapping[str, OutOfSample], *, gate: bool
) -> dict[str, Floats]:
    losses = {}
    for kind, result in results.items():
        part = _part(result, gate=gate)
        rows = result.rows[part]
        losses[kind] = loss(dataset.targets[rows], result.returns[part], dataset.dates[rows])
    return losses


def _band_losses(
    dataset: Dataset, bands: Mapping[str, OutOfSample], *, gate: bool
) -> dict[str, Floats]:
    losses = {}
    for scale, band in bands.items():
        part = _part(band, gate=gate)
        rows = band.rows[part]
        edges = edges_of(band)[part]
        losses[scale] = band_loss(dataset.targets[rows], edges, dataset.dates[rows])
    return losses


def _part(result: OutOfSample, *, gate: bool) -> Mask:
    in_gate: Mask = result.folds == result.folds.max()
    return in_gate if gate else ~in_gate
