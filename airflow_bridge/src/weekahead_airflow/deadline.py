"""Reports late DAG runs. Needs Airflow 3.1 or later; Airflow 3 has no SLAs."""

import logging
from datetime import timedelta
from typing import Any

log = logging.getLogger(__name__)


async def report_late(**arguments: Any) -> None:
    """Log that a deadline has passed; runs in the triggerer."""
    run = (arguments.get("context") or {}).get("dag_run") or {}
    name = run.get("dag_id", "a DAG") if isinstance(run, dict) else run.dag_id
    log.error("%s is late: it has not ended within %s.", name, arguments.get("limit"))


def late_after(limit: timedelta) -> dict[str, Any]:
    """The DAG arguments for an alert; empty if Airflow does not support it."""
    try:
        from airflow.sdk import AsyncCallback, DeadlineAlert, DeadlineReference
    except ImportError:
        return {}
    callback = AsyncCallback(report_late, kwargs={"limit": str(limit)})
    alert = DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT, interval=limit, callback=callback
    )
    return {"deadline": alert}
