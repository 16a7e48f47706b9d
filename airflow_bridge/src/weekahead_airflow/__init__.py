"""Lets Airflow start Prefect deployments and follow their runs."""

__version__ = "0.1.0"
