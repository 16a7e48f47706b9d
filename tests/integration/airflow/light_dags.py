"""One task each, in the variations that the tests need."""

from datetime import timedelta

from airflow.sdk import DAG
from weekahead_airflow.operator import PrefectDeploymentOperator


def define(dag_id, **options):
    with DAG(
        dag_id,
        schedule=None,
        params={"seconds": 0.0, "fail": ""},
        render_template_as_native_obj=True,
        is_paused_upon_creation=False,
    ) as dag:
        PrefectDeploymentOperator(
            task_id="run",
            deployment="case/case",
            parameters={"seconds": "{{ params.seconds }}", "fail": "{{ params.fail }}"},
            poll_interval=1.0,
            **options,
        )
    return dag


plain = define("plain")
held = define("held", deferrable=False)
limited = define("limited", execution_timeout=timedelta(seconds=15))
retried = define("retried", retries=1, retry_delay=timedelta(seconds=1))
# Gives Prefect up after seconds, so that the retry meets a run that still works.
impatient = define(
    "impatient",
    retries=1,
    retry_delay=timedelta(seconds=60),
    outage_tolerance=timedelta(seconds=5),
)
