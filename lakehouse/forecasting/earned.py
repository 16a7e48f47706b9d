"""What forecasts would have earned: figures of daily returns, with their uncertainty.

Returns are simple daily returns; there is no borrowing, and cash earns nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from lakehouse.panel.dataset import Floats

DAYS_A_YEAR = 252
# Blocks preserve the dependence between days that overlapping holdings create.
BLOCK_DAYS = 10
DRAWS = 1000
EULER = 0.5772156649015329


@dataclass(frozen=True)
class Earned:
    """A strategy's figures.

    Attributes:
        days: Days with a position.
        annual_return: Compound annual return after costs, as a fraction.
        volatility: Annualised standard deviation.
        sharpe: Annualised Sharpe ratio.
        sharpe_low: Lower end of its 95 % interval.
        sharpe_high: Upper end of its 95 % interval.
        drawdown: Maximum drawdown, as a positive fraction.
        turnover: Fraction of the capital traded per year, purchases and sales.
        luck: Probability that the Sharpe ratio, as the best of those tried, is luck.
    """

    days: int
    annual_return: float
    volatility: float
    sharpe: float
    sharpe_low: float
    sharpe_high: float
    drawdown: float
    turnover: float
    luck: float


def earned(returns: Floats, turnover: Floats, others: Sequence[Floats], *, seed: int = 0) -> Earned:
    """The figures of one strategy.

    Args:
        returns: Daily simple returns after costs in date order, shape (days,), at least two.
        turnover: Fraction of the capital traded each day, shape (days,).
        others: Returns of all strategies that were tried, including this one.
        seed: Seed of the bootstrap.

    Returns:
        Annualised figures.
    """
    wealth = np.concatenate([[1.0], np.cumprod(1 + returns)])
    low, high = sharpe_interval(returns, seed=seed)
    return Earned(
        days=len(returns),
        annual_return=float(wealth[-1] ** (DAYS_A_YEAR / len(returns)) - 1),
        volatility=float(np.std(returns, ddof=1) * np.sqrt(DAYS_A_YEAR)),
        sharpe=sharpe(returns) * float(np.sqrt(DAYS_A_YEAR)),
        sharpe_low=low,
        sharpe_high=high,
        drawdown=float(np.max(1 - wealth / np.maximum.accumulate(wealth))),
        turnover=float(np.mean(turnover) * DAYS_A_YEAR),
        luck=1 - deflated_sharpe(returns, [sharpe(other) for other in others]),
    )


def sharpe(returns: Floats) -> float:
    """Daily Sharpe ratio, mean over standard deviation; 0 if nothing moved."""
    spread = float(np.std(returns, ddof=1))
    return float(np.mean(returns)) / spread if spread else 0.0


def sharpe_interval(returns: Floats, *, seed: int) -> tuple[float, float]:
    """95 % interval of the annualised Sharpe ratio, by the stationary block bootstrap.

    Args:
        returns: Daily simple returns in date order, shape (days,), at least two.
        seed: Seed of the bootstrap.

    Returns:
        The lower and the upper end.

    Source: Politis & Romano (1994): blocks of random geometric length, wrapped around the end.
    """
    count = len(returns)
    random = np.random.default_rng(seed)
    draws = np.empty(DRAWS)
    for draw in range(DRAWS):
        starts = random.random(count) < 1 / BLOCK_DAYS
        starts[0] = True
        first = np.where(starts, random.integers(0, count, count), 0)
        since = np.arange(count) - np.maximum.accumulate(np.where(starts, np.arange(count), 0))
        block = first[np.arange(count) - since]
        draws[draw] = sharpe(returns[(block + since) % count])
    low, high = np.quantile(draws, [0.025, 0.975]) * np.sqrt(DAYS_A_YEAR)
    return float(low), float(high)


def deflated_sharpe(returns: Floats, tried: Sequence[float]) -> float:
    """Probability that the true Sharpe ratio exceeds the best of as many worthless strategies.

    Bailey & López de Prado (2014): corrected for skew, fat tails, sample length, and the number and
    spread of the strategies tried.

    Args:
        returns: Daily simple returns, shape (days,).
        tried: Daily Sharpe ratios of all strategies tried.

    Returns:
        A probability; 0 if the returns are constant.
    """
    trials = len(tried)
    expected = 0.0
    if trials > 1:
        spread = float(np.std(tried, ddof=1))
        expected = spread * float(
            (1 - EULER) * stats.norm.ppf(1 - 1 / trials)
            + EULER * stats.norm.ppf(1 - 1 / (trials * np.e))
        )
    own = sharpe(returns)
    if not np.std(returns):
        return 0.0
    skew, kurtosis = stats.skew(returns), stats.kurtosis(returns, fisher=False)
    variance = 1 - skew * own + (kurtosis - 1) / 4 * own**2
    statistic = (own - expected) * np.sqrt(len(returns) - 1) / np.sqrt(max(variance, 1e-12))
    return float(stats.norm.cdf(statistic))


def break_even(cost: float, moves: Floats) -> float:
    """The hit rate at which a bet on the direction covers its costs.

    Assumes that right calls win, and wrong calls lose, the typical move.

    Args:
        cost: Cost of a round trip, as a fraction.
        moves: Absolute returns over the holding period, shape (n,).

    Returns:
        A hit rate of at least 0.5, above 1 if costs exceed the typical move; 1 if nothing moves.
    """
    typical = float(np.mean(moves))
    return 0.5 + cost / (2 * typical) if typical else 1.0
