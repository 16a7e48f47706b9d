"""Keeps bands calibrated by the ledger: miss rates from outcomes known on a day."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lakehouse.forecasting.adaptive import Outcomes, miss_rates
from lakehouse.forecasting.forecaster import Forecaster
from lakehouse.forecasting.intervals import scores
from lakehouse.forecasting.out_of_sample import OutOfSample
from lakehouse.panel.dataset import VOLATILITY, Dataset, Floats

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

REGIMES = 3
# One forecast per symbol, date and horizon; those made at the time win over simulated ones.
OUTCOMES = """
SELECT source, horizon, realised_date AS known_on, volatility_21,
    log(actual / point) / scale AS score
FROM marts.fct_forecast_accuracy
WHERE model_name = {model:String} AND scale > 0 AND volatility_21 IS NOT NULL
    AND as_of_date IN (
        SELECT DISTINCT as_of_date FROM marts.fct_forecast_accuracy
        WHERE model_name = {model:String} ORDER BY as_of_date DESC LIMIT {days:UInt32})
ORDER BY source, symbol, as_of_date, horizon, is_simulated, length(model_version) DESC,
    model_version DESC
LIMIT 1 BY source, symbol, as_of_date, horizon
"""
COLUMNS = ["source", "horizon", "known_on", VOLATILITY, "score"]


def ledger_outcomes(client: "Client", model_name: str, days: int) -> pd.DataFrame:
    """Scores of the ledger's forecasts that came due, as of the last build of the marts.

    Args:
        client: The warehouse.
        model_name: Model in the registry; all of its versions count.
        days: Number of latest as-of dates to read.

    Returns:
        Columns ``source, horizon, known_on, volatility_21, score``; scores have no unit.
    """
    rows = client.query(OUTCOMES, parameters={"model": model_name, "days": days}).result_rows
    return pd.DataFrame(rows, columns=COLUMNS)


def simulated_outcomes(
    model: Forecaster, result: OutOfSample, then: Dataset, dataset: Dataset
) -> pd.DataFrame:
    """Scores that a back-fill may learn from.

    First the scores of the walk-forward that chose the model, which are out of sample; then the
    model's own scores on later rows, of which those before its fit are training rows. Each counts
    from the day on which its outcome was known.

    Args:
        model: The model of a block.
        result: Its candidates in the walk-forward.
        then: The data that the walk-forward knew.
        dataset: All rows up to the block's end.

    Returns:
        The columns of ``ledger_outcomes``.
    """
    unseen = scores(then.targets[result.rows], result.returns, result.scales)
    later = dataset.select(dataset.dates > then.dates.max())
    own = scores(later.targets, *model.forecast(later.inputs))
    parts = [_long(then.select(result.rows), unseen), _long(later, own)]
    return pd.concat(parts, ignore_index=True)


def rates_for(model: Forecaster, outcomes: pd.DataFrame, frame: pd.DataFrame) -> Floats:
    """The miss rates for rows to forecast, each from what was known on its date.

    Args:
        model: The model that forecasts; gives regimes and past scores.
        outcomes: Columns ``source, horizon, known_on, volatility_21, score``.
        frame: The rows to forecast, n of them.

    Returns:
        Shape (n, horizons, 2), for the 80 and the 95 % interval.
    """
    sources = sorted(set(frame["source"]))
    place = {source: number * REGIMES for number, source in enumerate(sources)}
    outcomes = outcomes[outcomes["source"].isin(sources)]
    dates = frame["trade_date"].to_numpy().astype("datetime64[D]")
    days, day = np.unique(dates, return_inverse=True)
    group = frame["source"].map(place).to_numpy(dtype=int) + model.regimes(frame)
    # Rows without a volatility get an arbitrary regime; their rates are not used.
    found = np.empty((len(frame), model.horizons, 2))
    for h in range(model.horizons):
        part = outcomes[outcomes["horizon"] == h + 1]
        score = np.full((len(part), model.horizons), np.nan)
        score[:, h] = part["score"].to_numpy(dtype="float64")
        rates = miss_rates(
            Outcomes(
                part["known_on"].to_numpy().astype("datetime64[D]"),
                part["source"].map(place).to_numpy(dtype=int) + model.regimes(part),
                model.ranks(score)[:, h],
            ),
            days,
            len(sources) * REGIMES,
        )
        found[:, h] = rates[day, group]
    return found


def _long(dataset: Dataset, values: Floats) -> pd.DataFrame:
    usable = np.isfinite(values) & np.isfinite(
        dataset.frame[VOLATILITY].to_numpy(dtype="float64")
    ).reshape(-1, 1)
    row, h = np.nonzero(usable)
    return pd.DataFrame(
        {
            "source": dataset.frame["source"].to_numpy()[row],
            "horizon": h + 1,
            "known_on": dataset.target_dates[row, h],
            VOLATILITY: dataset.frame[VOLATILITY].to_numpy(dtype="float64")[row],
            "score": values[row, h],
        }
    )
