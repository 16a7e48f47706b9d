"""Conformal prediction intervals, scaled by each row's own volatility.

The score of a past forecast is its signed error in units of the row's scale (volatility_21 · √h, or
the candidate's own). Quantiles of the scores of forecasts made without knowledge of the label give
the bounds (normalised split conformal prediction: Papadopoulos et al. 2002; Lei et al. 2018,
section 5.2, with one tail on each side). Levels are nested because they are quantiles of the same
scores.

Symbols with a short history are calibrated separately, by scores of the same age (Mondrian
conformal prediction: Vovk et al. 2003), because their volatility is a guess or a poor estimate.
Such scores are few and overlap. Until there are enough, the scores of all horizons (in units of √h)
are pooled; their bounds are symmetric, because the direction of one listing says nothing about the
next; and they are never narrower than those of grown symbols.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from lakehouse.panel.dataset import AGES, GROWN, Floats

LEVELS = (0.80, 0.95)
# Tails in the order of the bounds' columns: lower 95, lower 80, upper 80, upper 95.
COLUMNS = ("lower_95", "lower_80", "upper_80", "upper_95")
# With fewer scores than this, the bounds of a normal distribution are used.
LEAST_SCORES = 100
# Fewer forecasts in a bin of probabilities are noise in a chart.
LEAST_IN_BIN = 20
NORMAL = np.array([-1.96, -1.2816, 1.2816, 1.96])
# Levels at which the distribution of scores is stored, for other miss rates and for chances.
GRID = np.arange(1, 400) / 400


def scores(actual: Floats, predicted: Floats, scale: Floats) -> Floats:
    """Signed errors in units of their scale.

    Args:
        actual: Log returns, shape (n, horizons); NaN while unknown.
        predicted: Forecast log returns, same shape.
        scale: Positive scales in log returns, same shape.

    Returns:
        Scores without unit, same shape; NaN where the outcome is unknown.
    """
    return (actual - predicted) / scale


def bounds(values: Floats) -> Floats:
    """Bounds from one horizon's scores, in units of the scale.

    Args:
        values: Scores, shape (n,); NaN are ignored.

    Returns:
        ``lower_95, lower_80, upper_80, upper_95``, shape (4,): non-decreasing, around zero.
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
    """Bounds for each column of scores, shape (horizons, 4)."""
    return np.array([bounds(values[:, h]) for h in range(values.shape[1])])


def bounds_by_age(values: Floats, ages: NDArray[np.intp]) -> Floats:
    """Bounds for each age group of symbols and each horizon.

    Args:
        values: Scores, shape (n, horizons); NaN are ignored.
        ages: Age group of each row as ``dataset.ages`` gives it, shape (n,).

    Returns:
        Shape (ages, horizons, 4).
    """
    known = np.isfinite(values)
    pooled = bounds_by_horizon(values)
    by_age = [bounds_by_horizon(values[ages == age]) for age in range(len(AGES))]
    few = values[ages != GROWN]
    for h in range(values.shape[1]):
        # Labels overlap: only every h-th score of a symbol is independent.
        counts = [np.count_nonzero(known[ages == age, h]) / (h + 1) for age in range(len(AGES))]
        if counts[GROWN] < LEAST_SCORES:
            by_age[GROWN][h] = pooled[h]
        for age in range(GROWN):
            if counts[age] < LEAST_SCORES:
                by_age[age][h] = widened(by_age[GROWN][h], few)
    return np.array(by_age)


def widened(grown: Floats, few: Floats) -> Floats:
    """Symmetric bounds from a few scores, at least as wide as those of grown symbols.

    Args:
        grown: Bounds of grown symbols, shape (4,).
        few: Scores of symbols with a short history, shape (n, horizons); NaN are ignored.

    Returns:
        Bounds in units of the scale, shape (4,).
    """
    count = np.count_nonzero(np.isfinite(few[:, 0]))
    if not count:
        return grown.copy()
    sizes = np.sort(np.abs(few[np.isfinite(few)]))
    # The finite-sample quantile, counting rows and not pooled scores.
    levels = [min(np.ceil((count + 1) * level) / count, 1.0) for level in LEVELS]
    inner, outer = (float(np.quantile(sizes, level, method="higher")) for level in levels)
    own = np.array([-outer, -inner, inner, outer])
    return np.where(np.abs(own) > np.abs(grown), own, grown)


def distribution(values: Floats) -> Floats:
    """Quantiles of the scores at ``GRID`` for each horizon, shape (horizons, 399).

    With too few scores, those of a normal distribution.
    """
    found = np.tile(norm.ppf(GRID), (values.shape[1], 1))
    for h in range(values.shape[1]):
        known = values[np.isfinite(values[:, h]), h]
        if len(known) >= LEAST_SCORES:
            found[h] = np.quantile(known, GRID)
    return found


def ranks(values: Floats, quantiles: Floats) -> Floats:
    """Ranks of scores among past ones.

    Args:
        values: Scores, shape (n, horizons).
        quantiles: Past scores, as ``distribution`` gives them, shape (horizons, 399).

    Returns:
        From 0 to 1, shape (n, horizons); NaN stay NaN.
    """
    return np.column_stack(
        [np.interp(values[:, h], own, GRID, 0.0, 1.0) for h, own in enumerate(quantiles)]
    )


def chances(returns: Floats, scales: Floats, quantiles: Floats, move: float) -> Floats:
    """Probabilities of a rise and of a large move, from the same scores as the bounds.

    Args:
        returns: Expected log returns, shape (n, horizons).
        scales: Sizes of their errors, same shape.
        quantiles: Past scores, as ``distribution`` gives them, shape (horizons, 399).
        move: Size of a large move, as a positive log return.

    Returns:
        The probabilities of a return above zero and of one beyond ± ``move``, shape (n, horizons,
        2).
    """
    below_zero, below_low, below_high = (
        ranks((at - returns) / scales, quantiles) for at in (0.0, -move, move)
    )
    return np.stack([1 - below_zero, below_low + 1 - below_high], axis=2)


def _upper(ordered: Floats, tail: float) -> float:
    # The ⌈(n+1)(1-tail)⌉-th smallest score: the finite-sample quantile of split conformal.
    position = int(np.ceil((len(ordered) + 1) * (1 - tail)))
    return float(ordered[min(position, len(ordered)) - 1])
