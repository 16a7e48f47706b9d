"""Each weekend: refreshes the marts, trains the candidates and lets them challenge the champion."""

from datetime import timedelta

from airflow.sdk import DAG, Param

from weekahead_airflow.compat import CronTriggerTimetable
from weekahead_airflow.deadline import late_after
from weekahead_airflow.pipeline import DAG_OPTIONS, TIMEZONE, TRAIN, TRANSFORM

with DAG(
    dag_id="weekahead_weekly_training",
    description="Training and the promotion gate, through Prefect",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("0 6 * * 6", timezone=TIMEZONE),
    params={
        "force": Param(
            False,
            type="boolean",
            title="Train anyway",
            description="Also if neither data nor code have changed.",
        ),
        "dry_run": Param(
            False,
            type="boolean",
            title="Promote nothing",
            description="Train and judge, but leave the champion in place.",
        ),
    },
    **DAG_OPTIONS,
    **late_after(timedelta(hours=6)),
) as dag:
    transform = TRANSFORM.task({})
    train = TRAIN.task({"force": "{{ params.force }}", "dry_run": "{{ params.dry_run }}"})
    transform >> train
