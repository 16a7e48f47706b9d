"""What the DAGs share: deployments, assets, clocks and limits."""

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
    # Two writers at once would only wait for each other.
    "max_active_runs": 1,
    "default_args": {
        "owner": "weekahead",
        # Prefect retries what a retry may mend; these are for a lost worker, server or machine.
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
    """One stage of the platform: a Prefect deployment and what it makes.

    Attributes:
        flow: Name of the flow.
        asset: What a successful run has updated.
        limit: How long it may take before it is cancelled.
    """

    flow: str
    asset: Asset
    limit: timedelta

    @property
    def deployment(self) -> str:
        """The deployment's name, as ``deploy/prefect.yaml`` has it."""
        return f"{self.flow}/{self.flow}"

    def task(self, parameters: Mapping[str, Any], **options: Any) -> PrefectDeploymentOperator:
        """The stage as a task of the DAG that is being defined."""
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
