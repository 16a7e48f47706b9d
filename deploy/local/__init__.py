"""The services of one machine: SeaweedFS, the ClickHouse engine, Prefect, MLflow and more.

``running`` has them for the time of a command, ``up`` and ``down`` in the background.
"""

from deploy.local.lifecycle import down, running, up
from deploy.local.stack import DATA, LAKE, MODELS, PREFECT, WAREHOUSE
from deploy.local.status import is_up, status

__all__ = [
    "DATA", "LAKE", "MODELS", "PREFECT", "WAREHOUSE", "down", "is_up", "running", "status", "up",
]  # fmt: skip
