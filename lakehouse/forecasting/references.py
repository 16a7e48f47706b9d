"""Bands that nobody serves, to compare the scale models with."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from lakehouse.forecasting.band_metrics import BOUNDS, Band
from lakehouse.forecasting.intervals import LEAST_SCORES
from lakehouse.forecasting.out_of_sample import Walk
from lakehouse.forecasting.scales import REFERENCE
from lakehouse.panel.dataset import VOLATILITY, Floats, symbols_of


@dataclass(frozen=True)
class Simulated:
    """Bands of a historical simulation.

    Attributes:
        returns: Zeros, because its centre is the last price, shape (n, horizons).
        edges: Bounds in log returns, shape (n, horizons, 4); NaN in the first window.
    """

    returns: Floats
    edges: Floats

    def edges_at(self, h: int) -> Floats:
        """Bounds for one horizon index from 0, in log returns, shape (n, 4)."""
        edges: Floats = self.edges[:, h]
        return edges


def references(walk: Walk) -> dict[str, Band]:
    """All references by name, on the rows of the walk.

    Args:
        walk: Forecasts that include the drift and the 21-day deviation.

    Returns:
        ``historical_simulation``, and ``constant``: plain split conformal bands around the drift,
        equally wide for every symbol at all times.
    """
    widths = [
        replace(one, kind="constant", values=np.ones_like(one.values))
        for one in walk.scales[REFERENCE]
    ]
    plain = Walk(walk.dataset, walk.points, {"constant": widths}, walk.ages, walk.settings)
    return {
        "historical_simulation": historical_simulation(walk),
        "constant": plain.pair("drift", "constant"),
    }


def historical_simulation(walk: Walk) -> Simulated:
    """Each symbol's own past returns, in units of the 21-day deviation at their time.

    The bounds of a window are quantiles of all that was known before its cutoff, times the
    deviation of the row. A symbol with fewer than 100 such returns takes those of all symbols.

    Args:
        walk: Forecasts that include the 21-day deviation.

    Returns:
        Bands on the rows of the walk.

    Source: Hull & White (1998), volatility-scaled historical simulation.
    """
    dataset = walk.dataset
    horizons = dataset.targets.shape[1]
    deviation = dataset.frame[VOLATILITY].to_numpy(dtype="float64")
    deviation = np.where(deviation > 0, deviation, np.nan)
    unit = deviation[:, None] * np.sqrt(np.arange(1, horizons + 1))
    names = symbols_of(dataset.frame)
    windows = []
    for number, window in enumerate(walk.scales[REFERENCE]):
        edges = np.full((*window.values.shape, len(BOUNDS)), np.nan)
        # Like the scale models, it is judged from the second window on.
        if number:
            past = pd.DataFrame(dataset.labels_before(window.fold.cutoff) / unit)
            of_symbol = past.groupby(names.to_numpy())
            asked = names.iloc[window.start : window.start + len(window.values)]
            enough = of_symbol.count().reindex(asked) >= LEAST_SCORES
            for place, level in enumerate(BOUNDS):
                own = of_symbol.quantile(level).reindex(asked)
                quantiles = np.where(enough, own, past.quantile(level))
                edges[..., place] = window.values * quantiles
        windows.append(edges)
    found = np.concatenate(windows)
    return Simulated(np.zeros(found.shape[:2]), found)
