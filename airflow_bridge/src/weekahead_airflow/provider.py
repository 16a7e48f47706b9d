"""Airflow metadata of this package: connection type, its form, operator link."""

from typing import Any

from weekahead_airflow import __version__


def get_provider_info() -> dict[str, Any]:
    """Metadata that Airflow reads through the entry point ``apache_airflow_provider``."""
    return {
        "package-name": "weekahead-airflow-bridge",
        "name": "Prefect (weekahead)",
        "description": "Runs Prefect deployments from Airflow.",
        "versions": [__version__],
        "connection-types": [
            {
                "connection-type": "prefect",
                "hook-name": "Prefect",
                "hook-class-name": "weekahead_airflow.hook.PrefectHook",
                "ui-field-behaviour": {
                    "hidden-fields": ["schema"],
                    "relabeling": {
                        "host": "API address",
                        "login": "User (self-hosted, basic auth)",
                        "password": "Password, or API key",
                    },
                    "placeholders": {
                        "host": "http://127.0.0.1:4200/api or "
                        "https://api.prefect.cloud/api/accounts/…/workspaces/…",
                    },
                },
                "conn-fields": {
                    "ui_url": {
                        "label": "Address of Prefect's pages",
                        "description": "Only if it is not the API address without /api.",
                        "schema": {"type": ["string", "null"]},
                    },
                },
            }
        ],
        "extra-links": ["weekahead_airflow.operator.PrefectRunLink"],
        "hooks": [
            {"integration-name": "Prefect", "python-modules": ["weekahead_airflow.hook"]},
        ],
        "operators": [
            {"integration-name": "Prefect", "python-modules": ["weekahead_airflow.operator"]},
        ],
        "triggers": [
            {"integration-name": "Prefect", "python-modules": ["weekahead_airflow.trigger"]},
        ],
        "integrations": [
            {
                "integration-name": "Prefect",
                "external-doc-url": "https://docs.prefect.io",
                "tags": ["service"],
            }
        ],
    }
