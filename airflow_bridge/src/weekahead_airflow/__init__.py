"""Lets Airflow start Prefect deployments and follow their runs."""

__version__ = "0.2.0"
