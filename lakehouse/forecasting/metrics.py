"""Forecast metrics: errors against baselines, ranks, signs, intervals, significance.

All errors are in log returns; a relative MAE is relative to the baseline for the same horizon and
rows.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from lakehouse.forecasting.candidates import BASELINES
from lakehouse.forecasting.out_of_sample import OutOfSample
from lakehouse.panel.dataset import AGES, VOLATILITY, Dataset, Dates, Floats, Mask, symbols_of

# Levels of the intervals' bounds, in their order, then of the point.
QUANTILES = (0.025, 0.1, 0.9, 0.975, 0.5)
LEAST_SYMBOLS_FOR_RANKS = 3
# With more symbols, one row each is unreadable and costs more than the training itself.
MOST_SYMBOLS_APART = 100
Rows = NDArray[np.intp]


def evaluate(
    dataset: Dataset,
    results: Mapping[str, OutOfSample],
    *,
    judged: Mapping[str, OutOfSample] | None = None,
    overall: bool = False,
) -> pd.DataFrame:
    """All metrics of all candidates over all test windows, including the gate.

    Args:
        dataset: All rows.
        results: Forecasts by candidate; must include the baselines.
        judged: Candidates to evaluate instead of ``results``.
        overall: Skip the groups and give only the overall metrics.

    Returns:
        One row per candidate, horizon, group (``overall``, ``fold``, ``volatility``, ``age``,
        ``source``, ``year``, ``symbol``) and member of the group. A single symbol has no rank;
        above 100 symbols, they have no rows of their own.
    """
    rows: list[dict[str, object]] = []
    for kind, result in (judged or results).items():
        everything = {("overall", "all"): np.arange(len(result.rows))}
        groups = everything if overall else dict(groups_of(dataset, result))
        for h in range(result.returns.shape[1]):
            sample = Sample(dataset, results, result, h)
            for (group, member), members in groups.items():
                known = members[sample.known[members]]
                if known.size:
                    head = {"candidate": kind, "horizon": h + 1, "group": group, "member": member}
                    rows.append(head | sample.errors(known) | sample.intervals(known))
                    rows[-1] |= sample.signs(known) | sample.significance(known)
                    if group != "symbol":
                        rows[-1] |= sample.ranks(known)
    return pd.DataFrame(rows)


class Sample:
    """One candidate's forecasts for one horizon, with the baselines' and the outcomes.

    The methods take positions of rows whose outcome is known.
    """

    def __init__(
        self, dataset: Dataset, results: Mapping[str, OutOfSample], result: OutOfSample, h: int
    ) -> None:
        self.horizon = h + 1
        self.actual = dataset.targets[result.rows, h]
        self.known: Mask = np.isfinite(self.actual)
        self.dates = dataset.dates[result.rows]
        self.forecast = result.returns[:, h]
        self.absolute = np.abs(self.actual - self.forecast)
        self.baselines = {
            name: np.abs(self.actual - results[name].returns[:, h]) for name in BASELINES
        }
        self.edges = result.edges_at(h)
        self.calibrated: Mask = self.known & np.isfinite(self.edges).all(axis=1)
        quantiles = np.column_stack([self.edges, self.forecast])
        self.pinball = pinball(self.actual, quantiles, QUANTILES)

    def errors(self, rows: Rows) -> dict[str, object]:
        """Absolute and squared errors, in log returns and relative to the baselines."""
        mae = float(np.mean(self.absolute[rows]))
        found: dict[str, object] = {
            "n": len(rows),
            "mae": mae,
            "rmse": float(np.sqrt(np.mean(self.absolute[rows] ** 2))),
        }
        for name, absolute in self.baselines.items():
            other = float(np.mean(absolute[rows]))
            found[f"mae_vs_{name}"] = mae / other if other else np.nan
        return found

    def intervals(self, rows: Rows) -> dict[str, object]:
        """Coverage, width and pinball loss of the rows with calibrated intervals."""
        rows = rows[self.calibrated[rows]]
        if not rows.size:
            return {}
        found: dict[str, object] = {
            "n_intervals": len(rows),
            "pinball": float(np.mean(self.pinball[rows])),
        }
        actual, edges = self.actual[rows], self.edges[rows]
        for level, low, high in ((80, 1, 2), (95, 0, 3)):
            inside = (actual >= edges[:, low]) & (actual <= edges[:, high])
            found[f"coverage_{level}"] = float(np.mean(inside))
            found[f"width_{level}"] = float(np.mean(edges[:, high] - edges[:, low]))
        return found

    def signs(self, rows: Rows) -> dict[str, object]:
        """Hit rate of the signs with its 95 % Wilson interval, and that of always predicting up.

        The interval counts one observation per ``horizon`` dates, because labels overlap and
        symbols move together within a day.
        """
        moved = rows[self.actual[rows] != 0]
        if not moved.size:
            return {}
        said = moved[self.forecast[moved] != 0]
        found: dict[str, object] = {"always_up": float(np.mean(self.actual[moved] > 0))}
        if said.size:
            rate = float(np.mean((self.actual[said] > 0) == (self.forecast[said] > 0)))
            independent = max(len(np.unique(self.dates[said])) // self.horizon, 1)
            interval = stats.binomtest(round(rate * independent), independent).proportion_ci(
                method="wilson"
            )
            found |= {"hit_rate": rate, "hit_low": interval.low, "hit_high": interval.high}
        return found

    def ranks(self, rows: Rows) -> dict[str, object]:
        """Mean daily Spearman rank correlation (rank IC), and its ratio to its deviation (ICIR).

        An interval of the rank IC that contains 0 means that no skill was found.
        """
        daily = rank_correlations(self.forecast[rows], self.actual[rows], self.dates[rows])
        if len(daily) < 2:
            return {}
        spread = float(np.std(daily, ddof=1))
        mean = float(np.mean(daily))
        low, high = mean_interval(daily, self.horizon)
        return {
            "rank_ic": mean,
            "rank_ic_low": low,
            "rank_ic_high": high,
            "rank_icir": mean / spread if spread else np.nan,
        }

    def significance(self, rows: Rows) -> dict[str, object]:
        """Diebold-Mariano against both baselines; p is one-sided, small if better."""
        found: dict[str, object] = {}
        for name, absolute in self.baselines.items():
            gain = per_date(absolute[rows] - self.absolute[rows], self.dates[rows])
            statistic, p_value = diebold_mariano(gain, self.horizon)
            found |= {f"dm_vs_{name}": statistic, f"p_vs_{name}": p_value}
        return found


def pinball(actual: Floats, forecasts: Floats, quantiles: tuple[float, ...]) -> Floats:
    """Pinball loss of each row, averaged over quantiles.

    Args:
        actual: Outcomes, shape (n,).
        forecasts: One column per quantile, shape (n, quantiles).
        quantiles: Levels of the columns, between 0 and 1.

    Returns:
        Losses in the unit of the outcomes, shape (n,); NaN where a value is NaN.

    Source: Koenker & Bassett (1978).
    """
    levels = np.array(quantiles)
    error = actual[:, None] - forecasts
    losses: Floats = np.maximum(levels * error, (levels - 1) * error).mean(axis=1)
    return losses


def per_date(values: Floats, dates: Dates) -> Floats:
    """Mean of the known values of each date.

    Args:
        values: Values, shape (n,); NaN are ignored.
        dates: Date of each value, shape (n,).

    Returns:
        One mean per date with a known value, in order of the dates.
    """
    known = np.isfinite(values)
    _, position = np.unique(dates[known], return_inverse=True)
    counts = np.bincount(position)
    means: Floats = np.bincount(position, weights=values[known]) / counts
    return means


def diebold_mariano(gain: Floats, horizon: int) -> tuple[float, float]:
    """Test whether the mean gain is above zero.

    Diebold & Mariano (1995) with the small-sample correction of Harvey, Leybourne & Newbold (1997),
    on one loss difference per date.

    Args:
        gain: Loss of the other minus own loss, per date, shape (T,).
        horizon: Steps ahead; gains are autocorrelated up to lag ``horizon - 1``.

    Returns:
        The statistic and the one-sided p-value; 0 and 1 if the losses are equal or too few.
    """
    count = len(gain)
    if count <= 2 * horizon or not np.any(gain):
        return 0.0, 1.0
    centred = gain - gain.mean()
    covariances = [float(centred[lag:] @ centred[: count - lag]) / count for lag in range(horizon)]
    variance = covariances[0] + 2 * sum(covariances[1:])
    if variance <= 0:
        # The truncated sum of covariances can be negative; the plain variance cannot.
        variance = covariances[0]
    if variance == 0:
        return 0.0, 1.0
    statistic = float(gain.mean() / np.sqrt(variance / count))
    correction = (count + 1 - 2 * horizon + horizon * (horizon - 1) / count) / count
    statistic *= float(np.sqrt(correction))
    return statistic, float(stats.t.sf(statistic, df=count - 1))


def mean_interval(values: Floats, horizon: int) -> tuple[float, float]:
    """95 % interval of a mean over dates whose labels overlap.

    Args:
        values: One value per date in order of the dates, shape (T,), at least two.
        horizon: Trading days ahead of the labels; values are correlated up to ``horizon - 1``.

    Returns:
        The lower and the upper end, in the unit of the values.

    Source: Newey & West (1987). Their weights fall to zero at four times the horizon, so that they
    take little from the correlations up to the horizon.
    """
    count = len(values)
    centred = values - values.mean()
    lags = min(4 * horizon, count - 1)
    covariances = [float(centred[lag:] @ centred[: count - lag]) / count for lag in range(lags + 1)]
    weights = 2 * (1 - np.arange(lags + 1) / (lags + 1))
    weights[0] = 1.0
    variance = float(weights @ np.array(covariances))
    error = float(np.sqrt(max(variance, 0.0) / (count - 1)))
    margin = float(stats.t.ppf(0.975, df=count - 1)) * error
    mean = float(values.mean())
    return mean - margin, mean + margin


def rank_correlations(forecast: Floats, actual: Floats, dates: Dates) -> Floats:
    """Spearman's rank correlation for each date with at least three symbols.

    Args:
        forecast: Forecast log returns, shape (n,).
        actual: Log returns, shape (n,).
        dates: As-of date of each row, shape (n,).

    Returns:
        Correlations from -1 to 1 in order of the dates; dates on which all ranks are tied are
        omitted.
    """
    frame = pd.DataFrame({"date": dates, "f": forecast, "a": actual})
    ranks = frame.groupby("date")[["f", "a"]].rank()
    centred = ranks - ranks.groupby(frame["date"]).transform("mean")
    products = pd.DataFrame(
        {"fa": centred.f * centred.a, "ff": centred.f**2, "aa": centred.a**2, "n": 1}
    )
    sums = products.groupby(frame["date"]).sum()
    usable = (sums.n >= LEAST_SYMBOLS_FOR_RANKS) & (sums.ff > 0) & (sums.aa > 0)
    sums = sums[usable]
    return (sums.fa / np.sqrt(sums.ff * sums.aa)).to_numpy(dtype="float64")


def terciles(values: Floats) -> NDArray[np.intp]:
    """0, 1 or 2 by the terciles of the finite values; -1 for values that are not finite."""
    finite = np.isfinite(values)
    if not finite.any():
        return np.full(len(values), -1)
    edges = np.quantile(values[finite], [1 / 3, 2 / 3])
    return np.where(finite, np.digitize(values, edges), -1)


def groups_of(dataset: Dataset, result: OutOfSample) -> Iterator[tuple[tuple[str, str], Rows]]:
    """Row positions of forecasts by group and member.

    Args:
        dataset: All rows.
        result: Forecasts of one candidate.

    Yields:
        ``(group, member)`` and the positions in ``result`` that belong to it.
    """
    frame = dataset.frame.iloc[result.rows]
    yield ("overall", "all"), np.arange(len(frame))
    names = {-1: "unknown", 0: "low", 1: "middle", 2: "high"}
    tercile = terciles(frame[VOLATILITY].to_numpy(dtype="float64"))
    labels = {
        "volatility": np.array([names[value] for value in tercile.tolist()]),
        "source": frame["source"].to_numpy(dtype=str),
        "age": np.array(AGES)[result.ages],
        "year": frame["trade_date"].dt.year.to_numpy().astype(str),
        "symbol": symbols_of(frame).to_numpy(dtype=str),
        "fold": np.where(
            result.folds == result.folds.max(), "gate", (result.folds + 1).astype(str)
        ),
    }
    for group, values in labels.items():
        codes, members = pd.factorize(values, sort=True)
        if group == "symbol" and len(members) > MOST_SYMBOLS_APART:
            continue
        ordered = np.argsort(codes, kind="stable")
        ends = np.cumsum(np.bincount(codes, minlength=len(members)))
        for member, rows in zip(members, np.split(ordered, ends[:-1]), strict=True):
            yield (group, str(member)), rows
