"""Online calibration: adaptive conformal intervals, updated as outcomes come due.

Split conformal bands are right on average over the past, but after a break in volatility past
scores say little about the next ones. So the nominal miss rate of a band moves with the misses seen
so far (adaptive conformal inference: Gibbs & Candès 2021), at several step sizes weighted by their
recent loss (DtACI: Gibbs & Candès 2022; the weighted mean replaces the random draw). The result
depends only on scores and the days on which they became known: the same outcomes give the same
bands, bit for bit, and no outcome counts before its day.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lakehouse.forecasting.intervals import LEVELS
from lakehouse.panel.dataset import Dates, Floats

# Relative to the nominal rate: a step that suits 20 % would make 5 % jump around.
STEPS = np.array([0.0, 0.01, 0.02, 0.05, 0.1])
# Length in days of the interval over which DtACI bounds the regret; sets how fast weights move.
WINDOW = 500
NOMINAL = np.array([1 - level for level in LEVELS])
# Bounds of a rate, inside the range of the grid of scores.
LEAST, MOST = NOMINAL / 4, 2 * NOMINAL
_DRIFT = 1 / (2 * WINDOW)


@dataclass(frozen=True)
class Outcomes:
    """Forecasts of one horizon that came due.

    Attributes:
        known_on: First day on which each outcome is known, shape (n,).
        groups: Group index of each row; a group is calibrated together, shape (n,).
        ranks: Rank of the outcome among past scores, 0 to 1, shape (n,); NaN are ignored.
    """

    known_on: Dates
    groups: NDArray[np.intp]
    ranks: Floats


def miss_rates(outcomes: Outcomes, days: Dates, groups: int) -> Floats:
    """The miss rates to build bands with, as of each day.

    Args:
        outcomes: Outcomes that came due, in any order.
        days: As-of days; an outcome counts from its own day on.
        groups: Number of groups.

    Returns:
        Shape (days, groups, levels); the nominal 0.2 and 0.05 until there are outcomes.

    Source: Gibbs & Candès (2022), "Conformal inference for online prediction with arbitrary
    distribution shifts".
    """
    usable = np.isfinite(outcomes.ranks)
    known_on, members = outcomes.known_on[usable], outcomes.groups[usable]
    # Two-sided tail probability of the outcome: bands with a smaller miss rate cover it.
    depth = 2 * np.minimum(outcomes.ranks[usable], 1 - outcomes.ranks[usable])
    order = np.lexsort((depth, known_on))
    known_on, members, depth = known_on[order], members[order], depth[order]
    found = np.empty((len(days), groups, len(NOMINAL)))
    for group in range(groups):
        mine = members == group
        due, starts = np.unique(known_on[mine], return_index=True)
        parts = np.split(depth[mine], starts[1:]) if len(due) else []
        rates = _follow(parts)
        found[:, group] = rates[np.searchsorted(due, days, side="right")]
    return found


def _follow(parts: list[Floats]) -> Floats:
    """Rates after each day of outcomes, shape (days + 1, levels)."""
    rates = np.tile(NOMINAL, (len(STEPS), 1))
    weights = np.full(rates.shape, 1 / len(STEPS))
    spread = (1 - NOMINAL) ** 2 * NOMINAL**3 + NOMINAL**2 * (1 - NOMINAL) ** 3
    speed = np.sqrt(3 / WINDOW * (np.log(len(STEPS) * WINDOW) + 2) / spread)
    followed = [NOMINAL.copy()]
    for depth in parts:
        beyond = depth[:, None, None] - rates[None]
        missed = (beyond < 0).mean(axis=0)
        loss = (NOMINAL * beyond - np.minimum(beyond, 0)).mean(axis=0)
        grown = weights * np.exp(-speed * (loss - loss.min(axis=0)))
        shared = grown.sum(axis=0)
        weights = (1 - _DRIFT) * grown / shared + _DRIFT / len(STEPS)
        rates = np.clip(rates + STEPS[:, None] * NOMINAL * (NOMINAL - missed), LEAST, MOST)
        followed.append((weights * rates).sum(axis=0) / weights.sum(axis=0))
    return np.array(followed)
