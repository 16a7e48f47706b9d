"""An Airflow plugin that makes the API server answer only to its own host names.

Otherwise a web page whose name resolves to this machine (DNS rebinding) could read its responses.
``WEEKAHEAD_AIRFLOW_HOSTS`` adds names, separated by commas, to those of the loopback interface.
"""

import os

from airflow.plugins_manager import AirflowPlugin
from starlette.middleware.trustedhost import TrustedHostMiddleware

_NAMES = [name.strip() for name in os.environ.get("WEEKAHEAD_AIRFLOW_HOSTS", "").split(",")]


class OwnNames(AirflowPlugin):
    """Installs the check in front of the whole server."""

    name = "weekahead_own_names"
    fastapi_root_middlewares = [  # noqa: RUF012 - Airflow's interface
        {
            "name": "Own names only",
            "middleware": TrustedHostMiddleware,
            "args": [],
            "kwargs": {
                "allowed_hosts": ["127.0.0.1", "localhost", "::1", *filter(None, _NAMES)],
                "www_redirect": False,
            },
        }
    ]
