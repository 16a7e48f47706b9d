"""The services on one machine: SeaweedFS, the ClickHouse engine, Prefect, MLflow and more.

``running`` starts them for the duration of a command, ``up`` and ``down`` in the background.
"""

from deploy.local.lifecycle import down, running, up
from deploy.local.stack import DATA, LAKE, MODELS, PREFECT, WAREHOUSE
from deploy.local.status import is_up, status

__all__ = [
    "DATA", "LAKE", "MODELS", "PREFECT", "WAREHOUSE", "down", "is_up", "running", "status", "up",
]  # fmt: skip
