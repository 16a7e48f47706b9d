"""Scores of bands: proper scores of quantiles and intervals, with coverage and width.

All scale models are judged around the same point forecast, the drift, on the same rows. All scores
are in log returns; smaller is better.
"""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lakehouse.forecasting.metrics import (
    QUANTILES,
    diebold_mariano,
    groups_of,
    per_date,
    pinball,
)
from lakehouse.forecasting.out_of_sample import OutOfSample
from lakehouse.forecasting.scales import REFERENCE
from lakehouse.forecasting.scales.scale import OWN
from lakehouse.panel.dataset import Dataset, Dates, Floats, Mask, symbols_of

BOUNDS = QUANTILES[:4]
# A break is a month with three times the variance of the year around it; then its length.
BREAK_LOG_RATIO = float(np.log(3))
BREAK_SESSIONS = 60
Rows = NDArray[np.intp]


class Band(Protocol):
    """Forecasts with bounds, all on the same rows."""

    @property
    def returns(self) -> Floats:
        """Forecast log returns, shape (n, horizons)."""

    def edges_at(self, h: int) -> Floats:
        """Bounds for one horizon index from 0, in log returns, shape (n, 4)."""


def edges_of(result: OutOfSample) -> Floats:
    """Bounds in log returns, shape (n, horizons, 4); NaN in the first window."""
    return np.stack([result.edges_at(h) for h in range(result.returns.shape[1])], axis=1)


def band_loss(actual: Floats, edges: Floats, dates: Dates) -> Floats:
    """One loss per date: mean pinball loss of the four bounds, divided by √horizon.

    Args:
        actual: Log returns, shape (n, horizons); NaN while unknown.
        edges: Bounds in log returns, shape (n, horizons, 4).
        dates: As-of dates, shape (n,).

    Returns:
        Means over symbols and horizons, in log returns, shape (dates,), in order of the dates.
    """
    horizons = actual.shape[1]
    losses = pinball(actual.reshape(-1), edges.reshape(-1, 4), BOUNDS).reshape(actual.shape)
    losses = losses / np.sqrt(np.arange(1, horizons + 1))
    return per_date(losses.ravel(), np.repeat(dates, horizons))


def evaluate_bands(
    dataset: Dataset, bands: Mapping[str, OutOfSample], others: Mapping[str, Band] | None = None
) -> pd.DataFrame:
    """Score all scale models over the windows that have calibrated bounds.

    Args:
        dataset: All rows.
        bands: Forecasts by scale model, all around the same point; includes the reference.
        others: Further bands to compare with, on the same rows.

    Returns:
        One row per scale, horizon, group (``overall``, ``fold``, ``volatility``, ``age``,
        ``source``, ``year``, ``after_break``) and member.
    """
    reference = bands[REFERENCE]
    groups = {
        key: rows for key, rows in groups_of(dataset, reference) if key[0] != "symbol"
    } | _by_break(dataset, reference)
    dates = dataset.dates[reference.rows]
    rows: list[dict[str, object]] = []
    for h in range(reference.returns.shape[1]):
        actual = dataset.targets[reference.rows, h]
        scored = {
            kind: scores_of(actual, band, h) for kind, band in {**bands, **(others or {})}.items()
        }
        yardstick = scored[REFERENCE]["pinball"]
        known = np.isfinite(yardstick)
        for kind, columns in scored.items():
            for (group, member), members in groups.items():
                part = members[known[members]]
                if not part.size:
                    continue
                found = {name: float(np.mean(values[part])) for name, values in columns.items()}
                other = float(np.mean(yardstick[part]))
                gain = per_date(yardstick[part] - columns["pinball"][part], dates[part])
                statistic, p_value = diebold_mariano(gain, h + 1)
                rows.append(
                    {"scale": kind, "horizon": h + 1, "group": group, "member": member}
                    | {"n": len(part)}
                    | found
                    | {f"pinball_vs_{REFERENCE}": found["pinball"] / other if other else np.nan}
                    | {f"dm_vs_{REFERENCE}": statistic, f"p_vs_{REFERENCE}": p_value}
                )
    return pd.DataFrame(rows)


def scores_of(actual: Floats, band: Band, h: int) -> dict[str, Floats]:
    """Scores of each forecast for one horizon.

    ``pinball`` is the mean over the four bounds. ``crps`` is twice the pinball loss integrated over
    the levels of bounds and point (Gneiting & Ranjan 2011). ``winkler`` is an interval's width plus
    the distance of an outcome outside it, times 2/(1 - level) (Winkler 1972).

    Args:
        actual: Log returns, shape (n,); NaN while unknown.
        band: Forecasts with bounds.
        h: Index of the horizon, from 0.

    Returns:
        Arrays of shape (n,) by name, in log returns except for ``coverage``; NaN where unknown.
    """
    edges = band.edges_at(h)
    lower_95, lower_80, upper_80, upper_95 = edges.T
    found = {
        "pinball": pinball(actual, edges, BOUNDS),
        "crps": crps(actual, np.column_stack([edges, band.returns[:, h]])),
    }
    unknown = ~np.isfinite(found["pinball"])
    for level, low, high in ((80, lower_80, upper_80), (95, lower_95, upper_95)):
        outside = np.maximum(low - actual, 0) + np.maximum(actual - high, 0)
        inside = np.where(unknown, np.nan, (actual >= low) & (actual <= high))
        found |= {
            f"winkler_{level}": high - low + 200 / (100 - level) * outside,
            f"coverage_{level}": inside,
            f"width_{level}": high - low,
        }
    return found


def crps(actual: Floats, quantiles: Floats) -> Floats:
    """The continuous ranked probability score, approximated from five quantiles.

    Five levels miss about an eighth of the full integral, equally for every scale model.

    Args:
        actual: Log returns, shape (n,).
        quantiles: One column per level of ``QUANTILES``, in its order, shape (n, 5).

    Returns:
        Scores in log returns, shape (n,); smaller is better.

    Source: Gneiting & Ranjan (2011), the quantile form of the CRPS.
    """
    levels = np.array(QUANTILES)
    order = np.argsort(levels)
    levels, forecasts = levels[order], quantiles[:, order]
    error = actual[:, None] - forecasts
    losses = np.maximum(levels * error, (levels - 1) * error)
    # The loss falls to zero at levels 0 and 1.
    padded = np.pad(losses, ((0, 0), (1, 1)))
    scores: Floats = 2 * np.trapezoid(padded, np.concatenate([[0.0], levels, [1.0]]), axis=1)
    return scores


def after_break(dataset: Dataset) -> Mask:
    """Rows in the first 60 sessions after a break in volatility, known as of each row's date.

    A break is the first bar in 60 sessions whose last month had three times the variance of its
    last year. A wild week is not enough: one jump makes it, and calm may follow.
    """
    month, year = (dataset.frame[OWN[i]].to_numpy(dtype="float64") for i in (2, 4))
    broken = month - year > BREAK_LOG_RATIO
    marked = np.zeros(len(broken), dtype=bool)
    for rows in symbols_of(dataset.frame).groupby(symbols_of(dataset.frame)).indices.values():
        places = np.flatnonzero(broken[rows])
        for first in places[np.diff(places, prepend=-BREAK_SESSIONS - 1) > BREAK_SESSIONS].tolist():
            marked[rows[first : first + BREAK_SESSIONS]] = True
    return marked


def _by_break(dataset: Dataset, result: OutOfSample) -> dict[tuple[str, str], Rows]:
    marked = after_break(dataset)[result.rows]
    return {
        ("after_break", "within 60 sessions"): np.flatnonzero(marked),
        ("after_break", "else"): np.flatnonzero(~marked),
    }
