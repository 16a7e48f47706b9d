"""Inference: the champion's forecasts for each symbol's latest bar, into the ledger."""

import json
import logging
import time
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa

from lakehouse.errors import DataError, NotEnoughData, UsageError
from lakehouse.forecasting.forecaster import Forecaster
from lakehouse.models import ledger, registry, warehouse_data
from lakehouse.models.calibration import ledger_outcomes
from lakehouse.models.set_aside import read_set_aside
from lakehouse.panel.dataset import Floats
from lakehouse.platform import Platform
from lakehouse.settings.forecast import ForecastSettings

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

log = logging.getLogger("weekahead")


@dataclass(frozen=True)
class PredictionReport:
    """What was forecast.

    Attributes:
        model_name: Name in the registry.
        model_version: The version that made the forecasts; the last one of a back-fill.
        model_kind: Its point model.
        as_of_first: First as-of date.
        as_of_last: Last as-of date.
        symbols: Number of symbols forecast.
        forecasts: Rows made, five per symbol and as-of date.
        new: Rows that were not in the ledger yet.
        simulated: Whether they were made for past dates.
        stale: Symbols whose latest bar is too old to forecast from.
        left_out: Symbols excluded by severe open findings, with the reason.
        unseen: Sources that the model was not trained on and does not forecast.
        latest: Forecasts of each symbol's last as-of date, rows of ``ml.forecasts``.
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
        """The report as a dictionary for JSON, with dates as text."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self), default=str))
        return plain


def predict(
    platform: Platform,
    *,
    symbols: tuple[str, ...] | None = None,
) -> PredictionReport:
    """Forecast five trading days from every symbol's latest bar, and store the forecasts.

    Args:
        platform: Models, warehouse and lake, and limits.
        symbols: Forecast only these; None forecasts all.

    Returns:
        Counts, exclusions and the forecasts.

    Raises:
        UsageError: No model serves yet, or not for these sources.
        UnknownSymbol: A symbol has no features.
        NotEnoughData: There are no features, or severe findings exclude every symbol.
        DataError: The serving model does not run with the present code or features.
    """
    started = time.monotonic()
    models, warehouse, how = platform.models, platform.warehouse, platform.settings.forecast
    version = registry.require_champion(models)
    built = warehouse_data.built_from(warehouse)
    frame, left_out = read_set_aside(warehouse).split(
        warehouse_data.read_latest(warehouse, symbols)
    )
    open_days = warehouse_data.read_open_days(warehouse)
    closed_days = warehouse_data.read_closed_days(warehouse)
    outcomes = None
    if how.adaptive:
        outcomes = ledger_outcomes(warehouse, models.name, how.score_window_days)
    for reason in left_out:
        log.info("predict: left out, %s", reason)
    if not len(frame):
        raise NotEnoughData(
            "Severe open findings leave no symbol to forecast:\n  " + "\n  ".join(left_out) + "\n"
            "Correct the data, or confirm it with 'weekahead findings acknowledge'."
        )
    frame, unseen = seen_rows(frame, version)
    if unseen:
        others = ", ".join(unseen)
        log.info(f"predict: left out, v{version.version} was not trained on it: {others}")
    frame, stale = fresh_rows(frame, how.stale_days)
    if stale:
        log.info(f"predict: left out, no recent bar: {', '.join(stale)}")
    model = registry.load(version)
    origin = ledger.Origin(models.name, str(version.version), built.quotes, simulated=False)
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
        platform.lake,
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
    """Forecasts, the drift's forecasts, and the spread."""
    try:
        return ledger.forecast_rows(model, frame, outcomes, settings)
    except (AttributeError, KeyError) as error:
        raise DataError(
            f"v{version} was trained with other code or features and no longer runs "
            f"({error}): run 'weekahead train', or roll back to a version that runs."
        ) from error


def seen_rows(frame: pd.DataFrame, version: "ModelVersion") -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Drop sources that a version was not trained on, because their market may differ.

    Args:
        frame: As-of rows with the column ``source``.
        version: The model version; its tags name the sources.

    Returns:
        The rows of known sources, and the names of the others.

    Raises:
        UsageError: The version knows none of the sources.
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
    """Drop symbols whose latest bar is far behind the newest one.

    A model trained on what came after a bar must not pretend to forecast from it.

    Args:
        frame: The latest row of each symbol.
        stale_days: Largest tolerated lag in calendar days.

    Returns:
        The recent rows, and the symbols of the others.
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
    """Summarise rows of the ledger.

    Args:
        rows: Rows of ``ml.forecasts``.
        origin: The model version that made them.
        kind: Its point model.
        new: Rows that were not in the ledger yet.
        stale: Symbols whose latest bar is too old.
        unseen: Sources that the model was not trained on.
        left_out: Symbols excluded by findings, with the reason.
        seconds: Duration.

    Returns:
        The report.
    """
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
