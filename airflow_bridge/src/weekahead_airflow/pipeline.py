"""Deployments, assets, time zone and limits that the DAGs share."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import Asset

from weekahead_airflow.operator import PrefectDeploymentOperator

# The time zone of the exchange whose close the DAGs wait for.
TIMEZONE = os.environ.get("WEEKAHEAD_AIRFLOW_TIMEZONE", "America/New_York")

DAG_OPTIONS: dict[str, Any] = {
    "start_date": datetime(2026, 1, 1, tzinfo=UTC),
    "catchup": False,
    # Parallel runs would only wait for each other's writers.
    "max_active_runs": 1,
    "default_args": {
        "owner": "weekahead",
        # Prefect retries failed steps itself; these are for a lost worker, server or machine.
        "retries": 2,
        "retry_delay": timedelta(minutes=1),
        "retry_exponential_backoff": True,
        "max_retry_delay": timedelta(minutes=15),
    },
    "render_template_as_native_obj": True,
    "tags": ["weekahead", "prefect"],
}


@dataclass(frozen=True)
class Stage:
    """One stage of the platform: a Prefect deployment and its output.

    Attributes:
        flow: Name of the flow.
        asset: The asset that a successful run updates.
        limit: Time after which the run is cancelled.
    """

    flow: str
    asset: Asset
    limit: timedelta

    @property
    def deployment(self) -> str:
        """The deployment's name in ``deploy/prefect.yaml``."""
        return f"{self.flow}/{self.flow}"

    def task(self, parameters: Mapping[str, Any], **options: Any) -> PrefectDeploymentOperator:
        """The stage as a task of the DAG that is being defined.

        Args:
            parameters: Parameters of the flow; templated.
            **options: Further arguments of ``PrefectDeploymentOperator``.

        Returns:
            The operator.
        """
        return PrefectDeploymentOperator(
            task_id=self.flow,
            deployment=self.deployment,
            parameters=parameters,
            outlets=[self.asset],
            execution_timeout=self.limit,
            **options,
        )


INGEST = Stage(
    "ingest", Asset("weekahead_quotes", "weekahead://lake/raw/quotes"), timedelta(hours=2)
)
TRANSFORM = Stage(
    "transform", Asset("weekahead_marts", "weekahead://warehouse/marts"), timedelta(hours=1)
)
TRAIN = Stage("train", Asset("weekahead_model", "weekahead://models/champion"), timedelta(hours=4))
PREDICT = Stage(
    "predict", Asset("weekahead_forecasts", "weekahead://lake/ml/forecasts"), timedelta(minutes=30)
)
SCORE = Stage(
    "score",
    Asset("weekahead_accuracy", "weekahead://warehouse/marts/fct_forecast_accuracy"),
    timedelta(minutes=30),
)
