"""Conformal prediction intervals, scaled by each row's own volatility.

The score of a past forecast is its signed error in units of the row's scale (volatility_21 · √h,
or the candidate's own). Quantiles of the scores of forecasts whose model had not seen the label
give the bounds (normalised split conformal prediction: Papadopoulos et al. 2002; Lei et al. 2018,
section 5.2, with one tail on each side). Levels are nested, because they are quantiles of the
same scores.
"""

import numpy as np

from lakehouse.forecasting.dataset import Floats

LEVELS = (0.80, 0.95)
# Tails in the order of the bounds' columns: lower 95, lower 80, upper 80, upper 95.
COLUMNS = ("lower_95", "lower_80", "upper_80", "upper_95")
# Until there are enough scores, the bounds of a normal distribution.
LEAST_SCORES = 100
NORMAL = np.array([-1.96, -1.2816, 1.2816, 1.96])


def scores(actual: Floats, predicted: Floats, scale: Floats) -> Floats:
    """Signed errors in units of their scale; NaN where the outcome is unknown."""
    return (actual - predicted) / scale


def bounds(values: Floats) -> Floats:
    """Bounds in units of the scale from one horizon's scores.

    Args:
        values: Scores, shape (n,); NaN are left out.

    Returns:
        ``lower_95, lower_80, upper_80, upper_95``, shape (4,), not decreasing, zero in the middle.
    """
    known = np.sort(values[np.isfinite(values)])
    if len(known) < LEAST_SCORES:
        return NORMAL.copy()
    upper = [_upper(known, (1 - level) / 2) for level in LEVELS]
    lower = [-_upper(-known[::-1], (1 - level) / 2) for level in LEVELS]
    return np.array(
        [min(lower[1], 0.0), min(lower[0], 0.0), max(upper[0], 0.0), max(upper[1], 0.0)]
    )


def bounds_by_horizon(values: Floats) -> Floats:
    """The bounds of each column of scores, shape (horizons, 4)."""
    return np.array([bounds(values[:, h]) for h in range(values.shape[1])])


def _upper(ordered: Floats, tail: float) -> float:
    # The ⌈(n+1)(1-tail)⌉-th smallest score: the finite-sample quantile of split conformal.
    position = int(np.ceil((len(ordered) + 1) * (1 - tail)))
    return float(ordered[min(position, len(ordered)) - 1])
