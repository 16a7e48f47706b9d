"""Outputs of the stages as Prefect assets: lineage from the lake to the accuracy of forecasts."""

from prefect.assets import Asset, AssetProperties


def _asset(key: str, name: str, description: str) -> Asset:
    return Asset(key=key, properties=AssetProperties(name=name, description=description))


QUOTES = _asset("iceberg://lake/raw/quotes", "raw.quotes", "Daily bars as traded.")
ACTIONS = _asset("iceberg://lake/raw/actions", "raw.splits, raw.dividends", "Corporate actions.")
LAKE = (QUOTES, ACTIONS)
MARTS = _asset("clickhouse://warehouse/marts", "marts", "Features and marts that dbt builds.")
MODEL = _asset("mlflow://registry/weekahead", "weekahead", "The champion in the model registry.")
LEDGER = _asset("iceberg://lake/ml/forecasts", "ml.forecasts", "The append-only ledger.")
ACCURACY = _asset(
    "clickhouse://warehouse/marts/fct-forecast-accuracy",
    "marts.fct_forecast_accuracy",
    "Forecasts against what happened.",
)
