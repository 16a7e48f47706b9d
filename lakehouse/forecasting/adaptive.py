"""Calibration that goes on: adaptive conformal intervals from outcomes as they come due.

Split conformal bands are right on average over the past. When volatility breaks, past scores say
too little of the next ones. So the miss rate that a band is made for moves with the misses that
were seen (adaptive conformal inference: Gibbs & Candès 2021), at several step sizes, of which those
count most that have lately done best (Gibbs & Candès 2022, DtACI; the weighted mean in place of a
random draw). Everything follows from scores and the days they became known on: the same outcomes
give the same bands, bit for bit, and no outcome counts before its day.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lakehouse.forecasting.intervals import LEVELS
from lakehouse.panel.dataset import Dates, Floats

# As shares of the nominal rate: a step that suits 20 % would throw 5 % about.
STEPS = np.array([0.0, 0.01, 0.02, 0.05, 0.1])
# Days over which an adversary is answered; sets how fast the weights of the steps move.
WINDOW = 500
NOMINAL = np.array([1 - level for level in LEVELS])
# As far as a rate may go; the grid of scores reaches further.
LEAST, MOST = NOMINAL / 4, 2 * NOMINAL
_DRIFT = 1 / (2 * WINDOW)


@dataclass(frozen=True)
class Outcomes:
    """Forecasts of one horizon that came due.

    Attributes:
        known_on: The day from which on each outcome is known, shape (n,).
        groups: Rows that are calibrated together, shape (n,).
        ranks: Where the outcome fell among past scores, 0 to 1, shape (n,); NaN are left out.
    """

    known_on: Dates
    groups: NDArray[np.intp]
    ranks: Floats


def miss_rates(outcomes: Outcomes, days: Dates, groups: int) -> Floats:
    """The miss rates to make bands with, as of each day.

    Args:
        outcomes: What came due, in any order.
        days: As-of days; an outcome counts from its own day on.
        groups: How many groups there are.

    Returns:
        Shape (days, groups, levels); the nominal 0.2 and 0.05 before there are outcomes.
    """
    usable = np.isfinite(outcomes.ranks)
    known_on, members = outcomes.known_on[usable], outcomes.groups[usable]
    # How far in a tail an outcome fell: a band with a smaller miss rate covers it.
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
    """The rates after each day of outcomes, shape (days + 1, levels)."""
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
