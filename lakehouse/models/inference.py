"""Inference: the champion's forecasts for each symbol's latest bar, into the ledger."""

import json
import logging
import time
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa

from catalog.connect import open_catalog
from lakehouse.errors import DataError, NotEnoughData, UsageError
from lakehouse.forecasting.forecaster import Forecaster
from lakehouse.models import ledger, registry, tracking, warehouse_data
from lakehouse.models.calibration import ledger_outcomes
from lakehouse.models.set_aside import read_set_aside
from lakehouse.panel.dataset import Floats
from lakehouse.settings import Settings
from lakehouse.settings.forecast import ForecastSettings
from lakehouse.warehouse.client import connect

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

log = logging.getLogger("weekahead")


@dataclass(frozen=True)
class PredictionReport:
    """What was forecast.

    Attributes:
        model_name: Name in the registry.
        model_version: The version that forecast; the last one of a back-fill.
        model_kind: Its candidate.
        as_of_first: First as-of date.
        as_of_last: Last as-of date.
        symbols: How many symbols were forecast.
        forecasts: Rows made, five per symbol and as-of date.
        new: Those that were not in the ledger yet.
        simulated: Whether they were made for dates in the past.
        stale: Symbols whose latest bar is too old to forecast from.
        left_out: Symbols that severe open findings leave out, with the reason.
        unseen: Sources that the model was not trained on, and does not forecast.
        latest: The forecasts of the last as-of date of each symbol, rows of ``ml.forecasts``.
        seconds: Duration.
    """

    model_name: str
    model_version: str
    model_kind: str
    as_of_first: date | None
    as_of_last: date | None
    symbols: int
    forecasts: int
    new: int
    simulated: bool
    stale: tuple[str, ...]
    unseen: tuple[str, ...]
    left_out: tuple[str, ...]
    latest: tuple[dict[str, Any], ...]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; dates as text."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self), default=str))
        return plain


def predict(
    settings: Settings,
    *,
    symbols: tuple[str, ...] | None = None,
) -> PredictionReport:
    """Forecast five trading days after every symbol's latest bar and keep the forecasts.

    Args:
        settings: Where everything is.
        symbols: Some symbols only.

    Raises:
        UsageError: Nothing serves yet, or not for these sources.
        UnknownSymbol: A symbol has no features.
        NotEnoughData: There are no features.
    """
    started = time.monotonic()
    client = tracking.connect(settings)
    version = registry.require_champion(client, settings)
    with connect(settings) as warehouse:
        built = warehouse_data.built_from(warehouse)
        frame, left_out = read_set_aside(warehouse).split(
            warehouse_data.read_latest(warehouse, symbols)
        )
        open_days = warehouse_data.read_open_days(warehouse)
        closed_days = warehouse_data.read_closed_days(warehouse)
        how = settings.forecast
        outcomes = None
        if how.adaptive:
            name = settings.mlflow.model_name
            outcomes = ledger_outcomes(warehouse, name, how.score_window_days)
    for reason in left_out:
        log.info("predict: left out, %s", reason)
    if not len(frame):
        raise NotEnoughData(
            "Severe open findings leave no symbol to forecast:\n  " + "\n  ".join(left_out) + "\n"
            "Put the data right, or 'weekahead findings acknowledge' says that it is."
        )
    frame, unseen = seen_rows(frame, version)
    if unseen:
        others = ", ".join(unseen)
        log.info(f"predict: left out, v{version.version} was not trained on it: {others}")
    frame, stale = fresh_rows(frame, settings.forecast.stale_days)
    if stale:
        log.info(f"predict: left out, no recent bar: {', '.join(stale)}")
    model = registry.load(version)
    origin = ledger.Origin(
        settings.mlflow.model_name, str(version.version), built.quotes, simulated=False
    )
    forecasts, drift, spread = _forecast(model, frame, outcomes, how, str(version.version))
    rows = ledger.price_rows(
        frame,
        forecasts,
        drift,
        origin,
        spread=spread,
        open_days=open_days,
        closed_days=closed_days,
    )
    new = ledger.write(
        open_catalog(settings.catalog, settings.s3),
        rows,
        commit_id=f"forecasts-{origin.model_version}-{frame['trade_date'].max():%Y%m%d}",
    )
    log.info(f"predict: {rows.num_rows} forecasts by v{version.version}, {new} new")
    return report(
        rows,
        origin,
        kind=registry.version_kind(version),
        new=new,
        stale=stale,
        unseen=unseen,
        left_out=left_out,
        seconds=time.monotonic() - started,
    )


def _forecast(
    model: Forecaster,
    frame: pd.DataFrame,
    outcomes: pd.DataFrame | None,
    settings: ForecastSettings,
    version: str,
) -> tuple[Floats, Floats, ledger.Spread]:
    """What the model says, what the drift does, and what is kept beside them."""
    try:
        return ledger.forecast_rows(model, frame, outcomes, settings)
    except (AttributeError, KeyError) as error:
        raise DataError(
            f"v{version} was trained by other code or on other features and does not run any more "
            f"({error}): run 'weekahead train', or roll back to a version that does."
        ) from error


def seen_rows(frame: pd.DataFrame, version: "ModelVersion") -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Leave out sources that a version was not trained on: their market may be another.

    Raises:
        UsageError: Nothing is left.
    """
    known = frame["source"].isin(registry.version_sources(version))
    unseen = tuple(sorted(set(frame.loc[~known, "source"])))
    if not known.any():
        raise UsageError(
            f"v{version.version} was trained on "
            f"{', '.join(registry.version_sources(version)) or 'unnamed sources'}, "
            f"not on {', '.join(unseen)}: run 'weekahead train' first."
        )
    return frame[known].reset_index(drop=True), unseen


def fresh_rows(frame: pd.DataFrame, stale_days: int) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Leave out symbols whose latest bar lies far behind the newest of all.

    A model trained on what came after a bar must not pretend to forecast from it.
    """
    oldest = frame["trade_date"].max() - timedelta(days=stale_days)
    recent = frame["trade_date"] >= oldest
    return frame[recent].reset_index(drop=True), tuple(sorted(frame.loc[~recent, "symbol"]))


def report(
    rows: pa.Table,
    origin: ledger.Origin,
    *,
    kind: str,
    new: int,
    stale: tuple[str, ...],
    unseen: tuple[str, ...],
    left_out: tuple[str, ...] = (),
    seconds: float,
) -> PredictionReport:
    """Sum up rows of the ledger."""
    listed = rows.to_pylist()
    days = [row["as_of_date"] for row in listed]
    newest: dict[str, date] = {}
    for row in listed:
        name = f"{row['source']}/{row['symbol']}"
        newest[name] = max(row["as_of_date"], newest.get(name, row["as_of_date"]))
    latest = [
        row for row in listed if row["as_of_date"] == newest[f"{row['source']}/{row['symbol']}"]
    ]
    return PredictionReport(
        model_name=origin.model_name,
        model_version=origin.model_version,
        model_kind=kind,
        as_of_first=min(days, default=None),
        as_of_last=max(days, default=None),
        symbols=len(newest),
        forecasts=len(listed),
        new=new,
        simulated=origin.simulated,
        stale=stale,
        unseen=unseen,
        left_out=left_out,
        latest=tuple(sorted(latest, key=lambda row: (row["symbol"], row["horizon"]))),
        seconds=round(seconds, 3),
    )
