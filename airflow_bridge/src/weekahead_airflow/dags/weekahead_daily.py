"""After each trading day: quotes, marts, forecasts and scores, each by its Prefect deployment."""

from datetime import timedelta

from airflow.sdk import DAG, Param

from weekahead_airflow.compat import CronTriggerTimetable
from weekahead_airflow.deadline import late_after
from weekahead_airflow.pipeline import (
    DAG_OPTIONS,
    INGEST,
    PREDICT,
    SCORE,
    TIMEZONE,
    TRANSFORM,
)

with DAG(
    dag_id="weekahead_daily",
    description="Quotes, marts, forecasts and scores of the day, through Prefect",
    doc_md=__doc__,
    # The night after each trading day, when the evening session has also ended.
    schedule=CronTriggerTimetable("30 0 * * 2-6", timezone=TIMEZONE),
    params={
        "source": Param(
            None,
            type=["null", "string"],
            enum=[None, "sample", "moex", "yahoo"],
            title="Source",
            description="Where quotes come from; empty: as the deployment is set.",
        ),
        "symbols": Param(
            None,
            type=["null", "array"],
            items={"type": "string"},
            title="Symbols",
            description="Only these; empty: all of the source.",
        ),
        "start": Param(
            None,
            type=["null", "string"],
            format="date",
            title="From",
            description="First trading date to fetch; empty: continue where the last load ended.",
        ),
        "end": Param(
            None,
            type=["null", "string"],
            format="date",
            title="To",
            description="Last trading date to fetch; empty: the latest.",
        ),
        "full_refresh": Param(
            False, type="boolean", title="Rebuild all marts", description="Slow; seldom needed."
        ),
    },
    **DAG_OPTIONS,
    **late_after(timedelta(hours=3)),
) as dag:
    ingest = INGEST.task(
        {
            "source": "{{ params.source }}",
            "symbols": "{{ params.symbols }}",
            "start": "{{ params.start }}",
            "end": "{{ params.end }}",
        }
    )
    transform = TRANSFORM.task({"full_refresh": "{{ params.full_refresh }}"})
    predict = PREDICT.task({"symbols": "{{ params.symbols }}"})
    score = SCORE.task({})
    ingest >> transform >> predict >> score
