"""Imports of names that moved between Airflow 3.1 and 3.3."""

try:  # 3.2 and later
    from airflow.sdk.exceptions import AirflowException, AirflowFailException
except ImportError:
    from airflow.exceptions import AirflowException, AirflowFailException

try:  # 3.2 and later
    from airflow.sdk import CronTriggerTimetable
except ImportError:
    from airflow.timetables.trigger import CronTriggerTimetable

__all__ = ["AirflowException", "AirflowFailException", "CronTriggerTimetable"]
