"""Back-fills the ledger with the forecasts that would have been made in the past.

Dates are cut into blocks that do not depend on the requested range, so that overlapping ranges give
the same forecasts. On the first day of a block the candidate is fitted on what was known at that
day's close. Which candidate that is, is decided at longer intervals by validation and the gate, on
what was known then. The one exception are later corrections of bars: the lake has no snapshots
older than its first load.
"""

import logging
import time
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from lakehouse.errors import NotEnoughData, UsageError
from lakehouse.forecasting import walkforward
from lakehouse.forecasting.development import Development, develop
from lakehouse.forecasting.forecaster import Forecaster
from lakehouse.forecasting.gate import BAND, decide
from lakehouse.forecasting.intervals import scores
from lakehouse.models import ledger, warehouse_data
from lakehouse.models.calibration import simulated_outcomes
from lakehouse.models.inference import PredictionReport, report
from lakehouse.panel.dataset import Dataset, as_date, unique_dates
from lakehouse.platform import Platform
from lakehouse.settings.forecast import ForecastSettings

log = logging.getLogger("weekahead")


def backfill(
    platform: Platform,
    first: date,
    last: date,
    *,
    symbols: tuple[str, ...] | None = None,
    execute: walkforward.Execute | None = None,
) -> PredictionReport:
    """Forecast past dates as they would have been forecast then; the rows are marked as simulated.

    Args:
        platform: Warehouse and lake, and how to train.
        first: First as-of date.
        last: Last as-of date, inclusive.
        symbols: Forecast only these; all are used for training. None forecasts all.
        execute: Runs tasks, as for ``walkforward.run``.

    Returns:
        Counts, and the forecasts of each symbol's last as-of date.

    Raises:
        UsageError: ``last`` is before ``first``.
        NotEnoughData: There are no bars in the range, or too little history before it.
        UnknownSymbol: A symbol has no features.
    """
    if last < first:
        raise UsageError(f"--as-of ends ({last}) before it starts ({first}).")
    started = time.monotonic()
    settings, warehouse, how = platform.settings, platform.warehouse, platform.settings.forecast
    built = warehouse_data.built_from(warehouse)
    sampling = warehouse_data.choose_sampling(warehouse, settings)
    dataset = warehouse_data.read_dataset(warehouse, sampling)
    asked = warehouse_data.read_as_of(warehouse, first, last)
    open_days = warehouse_data.read_open_days(warehouse)
    closed_days = warehouse_data.read_closed_days(warehouse)
    warehouse_data.only(pd.concat([dataset.frame, asked])[["symbol"]], symbols)
    # Validation may take hours.
    platform.close()
    workspace = settings.home / "forecasting"
    workspace.mkdir(parents=True, exist_ok=True)
    tables = []
    for model, part, outcomes in simulate(
        dataset, first, last, how, workspace=workspace, asked=asked, execute=execute
    ):
        frame = part if symbols is None else part[part["symbol"].isin(symbols)]
        origin = ledger.Origin(
            settings.mlflow.model_name, simulated_version(model), built.quotes, simulated=True
        )
        forecasts, drift, spread = ledger.forecast_rows(
            model, frame, outcomes if how.adaptive else None, how
        )
        tables.append(
            ledger.price_rows(
                frame,
                forecasts,
                drift,
                origin,
                spread=spread,
                open_days=open_days,
                closed_days=closed_days,
            )
        )
    rows = pa.concat_tables(tables)
    new = ledger.write(platform.lake, rows, commit_id=f"backfill-{first}-{last}")
    log.info(f"predict: {rows.num_rows} simulated forecasts, {new} new")
    return report(
        rows,
        origin,
        kind=model.kind,
        new=new,
        stale=(),
        unseen=(),
        seconds=time.monotonic() - started,
    )


def simulate(
    dataset: Dataset,
    first: date,
    last: date,
    settings: ForecastSettings,
    *,
    workspace: Path,
    asked: pd.DataFrame | None = None,
    execute: walkforward.Execute | None = None,
) -> list[tuple[Forecaster, pd.DataFrame, pd.DataFrame]]:
    """The model of each block, the as-of rows it forecasts, and the outcomes to calibrate with.

    Args:
        dataset: All rows; each model sees only what was known on its first day.
        first: First as-of date.
        last: Last as-of date, inclusive.
        settings: How to train.
        workspace: Directory that all tasks can read.
        asked: Rows to forecast for all these dates; by default those of the dataset.
        execute: Runs tasks, as for ``walkforward.run``.

    Returns:
        One tuple per block, in date order.

    Raises:
        NotEnoughData: There are no bars in the range, or too little history before it.
    """
    rows = dataset.frame if asked is None else asked
    as_of = rows["trade_date"].to_numpy().astype("datetime64[D]")
    dates = unique_dates(dataset)
    wanted = np.flatnonzero((dates >= np.datetime64(first)) & (dates <= np.datetime64(last)))
    if not wanted.size:
        raise NotEnoughData(
            f"There are no bars from {first} to {last}; the lake holds {dates[0]} to {dates[-1]}."
        )
    refit, selection = settings.backfill_refit_days, settings.backfill_selection_days
    blocks: list[tuple[Forecaster, pd.DataFrame, pd.DataFrame]] = []
    chosen: tuple[int, Development, str, str] | None = None
    for block in np.unique(wanted // refit).tolist():
        start = block * refit
        selected_at = start // selection * selection // refit * refit
        if chosen is None or chosen[0] != selected_at:
            chosen = (
                selected_at,
                *_select(dataset, as_date(dates[selected_at]), settings, workspace, execute),
            )
            pair = f"{chosen[2]} with bands of {chosen[3]}"
            log.info(f"back-fill: {pair} serves from what was known on {dates[selected_at]}")
        _, development, kind, scale = chosen
        known = dataset.as_known_on(as_date(dates[start]))
        model = walkforward.fit(known, kind, known.targets, settings, scale=scale)
        result, then = development.walk.pair(kind, scale), development.dataset
        unseen = scores(then.targets[result.rows], result.returns, result.scales)
        model.calibrate(unseen, then.frame.iloc[result.rows])
        model.trained_on_ = str(dates[start])
        inside = wanted[wanted // refit == block]
        outcomes = simulated_outcomes(
            model, result, then, dataset.select(dataset.dates <= dates[inside[-1]])
        )
        block_rows = (as_of >= dates[inside[0]]) & (as_of <= dates[inside[-1]])
        blocks.append((model, rows[block_rows].reset_index(drop=True), outcomes))
    return blocks


def simulated_version(model: Forecaster) -> str:
    """The name of a simulated model, used instead of a registry version."""
    return f"simulated-{model.kind}-{model.trained_on_}"


def _select(
    dataset: Dataset,
    day: date,
    settings: ForecastSettings,
    workspace: Path,
    execute: walkforward.Execute | None,
) -> tuple[Development, str, str]:
    """The candidates that the gate would have chosen on a day, without a champion."""
    known = dataset.as_known_on(day)
    try:
        development = develop(known, settings, workspace=workspace, execute=execute)
    except NotEnoughData as error:
        raise NotEnoughData(
            f"Nothing could be trained on what was known on {day}: {error}"
        ) from error
    point = decide(development.challenger, development.gate_losses(), None, None, 0, settings)
    losses = development.gate_band_losses(point.serves)
    band = decide(development.band_challenger, losses, None, None, 0, settings, BAND)
    walk = development.walk
    kept = replace(
        walk,
        points={point.serves: walk.points[point.serves]},
        scales={band.serves: walk.scales[band.serves]},
    )
    return replace(development, walk=kept), point.serves, band.serves
