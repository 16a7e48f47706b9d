"""Airflow starts Prefect deployments and follows their runs."""

__version__ = "0.1.0"
