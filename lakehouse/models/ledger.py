"""The ledger: forecasts in as-traded prices, one row per symbol, date, horizon and version.

A forecast in the ledger never changes, even if features are corrected later.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.io.pyarrow import schema_to_pyarrow

from catalog.merge import merge
from catalog.tables import FORECASTS
from lakehouse.forecasting.forecaster import OUTPUTS, Forecaster
from lakehouse.forecasting.intervals import LEVELS
from lakehouse.models.calibration import rates_for
from lakehouse.panel.dataset import Dates, Floats
from lakehouse.panel.trading_days import next_trading_days
from lakehouse.settings.forecast import ForecastSettings

NO_DAYS: Dates = np.array([], dtype="datetime64[D]")


@dataclass(frozen=True)
class Origin:
    """The model and the data behind forecasts.

    Attributes:
        model_name: Name in the registry.
        model_version: Version, or the name of a simulated model.
        feature_snapshot: Snapshot of ``raw.quotes`` that the features were built from.
        simulated: Made after the as-of date by a model that saw only what was known then.
    """

    model_name: str
    model_version: str
    feature_snapshot: int | None
    simulated: bool


@dataclass(frozen=True)
class Spread:
    """The uncertainty stored with a forecast's prices.

    Attributes:
        scale: Expected size of the error in log returns, shape (n, horizons).
        rates: Miss rates of the 80 and the 95 % interval, shape (n, horizons, 2).
        chances: Probabilities of a rise and of a move beyond ± ``move``, shape (n, horizons, 2).
        move: Size of a move that counts, as a fraction of the price.
    """

    scale: Floats
    rates: Floats
    chances: Floats
    move: float

    def of(self, row: int, h: int) -> dict[str, float]:
        """The columns of one forecast.

        Args:
            row: Index of the as-of row.
            h: Index of the horizon, from 0.

        Returns:
            Values by column of ``ml.forecasts``.
        """
        return {
            "scale": float(self.scale[row, h]),
            "rate_80": float(self.rates[row, h, 0]),
            "rate_95": float(self.rates[row, h, 1]),
            "chance_up": float(self.chances[row, h, 0]),
            "chance_move": float(self.chances[row, h, 1]),
            "move": self.move,
        }


def forecast_rows(
    model: Forecaster,
    frame: pd.DataFrame,
    outcomes: pd.DataFrame | None,
    settings: ForecastSettings,
) -> tuple[Floats, Floats, Spread]:
    """Forecast rows with a model, and with the drift fitted on the same data.

    Args:
        model: The model.
        frame: As-of rows, n of them.
        outcomes: Outcomes that calibrate the intervals, as for ``calibration.rates_for``; None
            leaves the intervals as they were at training.
        settings: Gives the size of a move.

    Returns:
        Log returns of shape (n, 5 · horizons) as ``Forecaster.predict`` gives them, the drift's of
        shape (n, horizons), and the spread.
    """
    nominal = np.tile([1 - level for level in LEVELS], (len(frame), model.horizons, 1))
    rates = nominal if outcomes is None else rates_for(model, outcomes, frame)
    forecasts = model.predict(frame, None if outcomes is None else rates)
    scale = model.forecast(frame)[1]
    chances = model.chances(frame, float(np.log1p(settings.move)))
    return forecasts, model.drift(frame), Spread(scale, rates, chances, settings.move)


def price_rows(
    frame: pd.DataFrame,
    forecasts: Floats,
    drift: Floats,
    origin: Origin,
    *,
    spread: Spread | None = None,
    open_days: Mapping[str, Dates],
    closed_days: Mapping[str, set[date]],
) -> pa.Table:
    """Turn log returns into prices.

    Args:
        frame: ``source, symbol, trade_date, close`` of the as-of rows, n of them.
        forecasts: Output of ``Forecaster.predict``, shape (n, 5 · horizons).
        drift: Output of ``Forecaster.drift``, shape (n, horizons).
        origin: The model version that made them.
        spread: The uncertainty to store with the prices; None leaves its columns null.
        open_days: Known trading days by source, or by ``source/symbol`` if they differ from the
            source's.
        closed_days: Known days without trading, keyed in the same way.

    Returns:
        Rows of ``ml.forecasts``: ``point = close · exp(log return)``, bounds likewise, as traded
        on the as-of date. ``drift_point`` is the drift's price, the baseline of the dashboards.
    """
    horizons = drift.shape[1]
    made_at = datetime.now(UTC)
    # One array for both, so that a forecast equal to the drift has its price bit for bit.
    returns = np.concatenate([forecasts, drift], axis=1)
    prices = frame["close"].to_numpy(dtype="float64")[:, None] * np.exp(returns)
    rows = []
    keys = zip(frame["source"], frame["symbol"], frame["trade_date"].dt.date, strict=True)
    closes = frame["close"].to_numpy(dtype="float64").tolist()
    for position, (source, symbol, as_of) in enumerate(keys):
        targets = next_trading_days(
            as_of,
            horizons,
            open_days.get(f"{source}/{symbol}", open_days.get(source, NO_DAYS)),
            closed_days.get(f"{source}/{symbol}", closed_days.get(source, set())),
        )
        for h, target in enumerate(targets):
            start = h * len(OUTPUTS)
            values = prices[position, start : start + len(OUTPUTS)].tolist()
            rows.append(
                {
                    "source": source,
                    "symbol": symbol,
                    "as_of_date": as_of,
                    "horizon": h + 1,
                    "model_name": origin.model_name,
                    "model_version": origin.model_version,
                    "target_date": target,
                    "last_close": closes[position],
                    "feature_snapshot": origin.feature_snapshot,
                    "simulated": origin.simulated,
                    "made_at": made_at,
                    "drift_point": float(prices[position, forecasts.shape[1] + h]),
                }
                | dict(zip(OUTPUTS, values, strict=True))
                | (spread.of(position, h) if spread else {})
            )
    schema = schema_to_pyarrow(FORECASTS.schema, include_field_ids=False)
    return pa.Table.from_pylist(rows, schema=schema)


def write(catalog: Catalog, rows: pa.Table, *, commit_id: str) -> int:
    """Add the forecasts that the ledger does not hold yet; existing ones are not changed.

    Args:
        catalog: The lake.
        rows: Rows of ``ml.forecasts``.
        commit_id: Id of the commit.

    Returns:
        Number of forecasts added.

    Raises:
        CommitConflict: Other writers won every attempt; nothing was written.
    """
    return merge(catalog, FORECASTS, rows, commit_id=commit_id, replace=False).new
