"""Scoring: past forecasts against outcomes, feature drift, and warnings."""

import json
import logging
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyiceberg.io.pyarrow import schema_to_pyarrow

from catalog.merge import append
from catalog.tables import FEATURE_DRIFT
from lakehouse.models import feature_drift, registry, warehouse_data
from lakehouse.panel.dataset import return_features
from lakehouse.platform import Platform
from lakehouse.settings.forecast import ForecastSettings
from lakehouse.warehouse.transform import refresh

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

log = logging.getLogger("weekahead")
# The latest as-of dates of each version; simulated versions of one candidate count as one.
PERFORMANCE = """
WITH scored AS (
    SELECT *, if(is_simulated, extract(model_version, '^simulated-(.+)-[0-9]+-[0-9]+-[0-9]+$'),
        model_version) AS label
    FROM marts.fct_forecast_accuracy
    WHERE model_name = {model:String}
), recent AS (
    SELECT *, dense_rank() OVER (PARTITION BY label, is_simulated ORDER BY as_of_date DESC) AS age
    FROM scored
)
SELECT label, is_simulated, horizon, uniqExact(as_of_date) AS dates, count() AS forecasts,
    avg(abs_error) AS mae, avg(abs_error_last_price) AS mae_last_price,
    avg(abs_error_drift) AS mae_drift, avg(is_within_80) AS coverage_80,
    avg(is_within_95) AS coverage_95, avg(is_direction_right) AS hit_rate, avg(is_up) AS up_share
FROM recent WHERE age <= {window:UInt32}
GROUP BY label, is_simulated, horizon ORDER BY label, is_simulated, horizon
"""


@dataclass(frozen=True)
class Performance:
    """Realised figures of a version and horizon over its latest as-of dates.

    Attributes:
        version: Version; the candidate for simulated forecasts.
        simulated: Whether the forecasts were made for past dates.
        horizon: Trading days ahead.
        dates: Number of as-of dates.
        forecasts: Number of forecasts that have come due.
        relative_mae_last_price: Error over that of the last price; below 1 is better.
        relative_mae_drift: Error over that of the drift.
        coverage_80: Share of outcomes inside the 80 % interval.
        coverage_95: Share of outcomes inside the 95 % interval.
        hit_rate: Share of correct signs.
        up_share: Share of outcomes above the last price; the hit rate of always predicting up.
    """

    version: str
    simulated: bool
    horizon: int
    dates: int
    forecasts: int
    relative_mae_last_price: float | None
    relative_mae_drift: float | None
    coverage_80: float
    coverage_95: float
    hit_rate: float
    up_share: float


@dataclass(frozen=True)
class ScoreReport:
    """The result of scoring.

    Attributes:
        scored: Number of forecasts that have come due.
        performance: Realised figures by version and horizon.
        drifted: Features of the champion that drifted.
        drift: All measured features of the champion.
        warnings: Figures outside their limits, in words.
        strict: Whether warnings count as a failure.
        seconds: Duration.
    """

    scored: int
    performance: tuple[Performance, ...]
    drifted: tuple[str, ...]
    drift: tuple[dict[str, Any], ...]
    warnings: tuple[str, ...]
    strict: bool
    seconds: float

    @property
    def exit_code(self) -> int:
        """1 if there are warnings and they count as a failure, else 0."""
        return 1 if self.strict and self.warnings else 0

    def to_dict(self) -> dict[str, Any]:
        """The report as a dictionary for JSON, with dates as text."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self), default=str))
        return plain


def score(platform: Platform, *, strict: bool = False) -> ScoreReport:
    """Compare past forecasts with outcomes, and measure the champion's feature drift.

    Args:
        platform: Models, warehouse and lake, and limits.
        strict: Make the exit code 1 if there are warnings.

    Returns:
        Realised figures, drift and warnings.

    Raises:
        UsageError: No model serves yet.
        NotEnoughData: The marts were never built.
    """
    started = time.monotonic()
    models, warehouse, limits = platform.models, platform.warehouse, platform.settings.forecast
    version = registry.require_champion(models)
    warehouse_data.built_from(warehouse)
    current = warehouse_data.read_recent(warehouse, limits.drift_window_days)
    # Variance levels move slowly for years, so they would always count as drifted.
    features = return_features(current)
    drift = feature_drift.against_version(models.client, version, current[features], limits)
    newest = current["trade_date"].max()
    append(
        platform.lake,
        FEATURE_DRIFT,
        pa.Table.from_pylist(
            drift, schema=schema_to_pyarrow(FEATURE_DRIFT.schema, include_field_ids=False)
        ),
        commit_id=f"drift-{version.name}-v{version.version}-{newest:%Y%m%d}-{len(current)}",
    )
    refresh(platform)
    performance = _performance(warehouse, models.name, limits.score_window_days)
    drifted = tuple(row["feature"] for row in drift if row["drifted"])
    warnings = outside_limits(performance, limits)
    if drifted:
        share = f"{len(drifted)} of {len(drift)} features of v{version.version} drifted"
        warnings = (*warnings, f"{share}: {', '.join(drifted)}")
    for warning in warnings:
        log.info(f"score: warning: {warning}")
    return ScoreReport(
        scored=sum(row.forecasts for row in performance),
        performance=performance,
        drifted=drifted,
        drift=tuple(drift),
        warnings=warnings,
        strict=strict,
        seconds=round(time.monotonic() - started, 3),
    )


def outside_limits(
    performance: tuple[Performance, ...], settings: ForecastSettings
) -> tuple[str, ...]:
    """Describe the figures that are outside their limits.

    Args:
        performance: Realised figures.
        settings: The limits; rows with fewer than ``score_min_dates`` dates are skipped.

    Returns:
        One warning per figure.
    """
    warnings = []
    for row in performance:
        if row.dates < settings.score_min_dates:
            continue
        kind = "simulated " if row.simulated else "v"
        where = f"{kind}{row.version}, {row.horizon} days ahead, last {row.dates} dates"
        for level, found in ((0.80, row.coverage_80), (0.95, row.coverage_95)):
            if abs(found - level) > settings.coverage_tolerance:
                warnings.append(f"{where}: {level:.0%} interval covers {found:.1%}")
        relative = row.relative_mae_last_price
        if relative is not None and relative > settings.skill_limit:
            warnings.append(f"{where}: error is {relative:.3f} of the last price's")
    return tuple(warnings)


def _performance(warehouse: "Client", model: str, window: int) -> tuple[Performance, ...]:
    rows = warehouse.query(PERFORMANCE, parameters={"model": model, "window": window})
    return tuple(
        Performance(
            version=str(row["label"]),
            simulated=bool(row["is_simulated"]),
            horizon=int(row["horizon"]),
            dates=int(row["dates"]),
            forecasts=int(row["forecasts"]),
            relative_mae_last_price=_ratio(row["mae"], row["mae_last_price"]),
            relative_mae_drift=_ratio(row["mae"], row["mae_drift"]),
            coverage_80=float(row["coverage_80"]),
            coverage_95=float(row["coverage_95"]),
            hit_rate=float(row["hit_rate"]),
            up_share=float(row["up_share"]),
        )
        for row in rows.named_results()
    )


def _ratio(mae: float, other: float) -> float | None:
    return float(mae / other) if other else None
