"""The embedded services: SeaweedFS (S3 and Iceberg REST catalog) and the ClickHouse engine.

``running`` is the one way in: it starts what is missing, joins what already runs, and stops it
when the last command that uses it ends.
"""

from deploy.local.stack import DATA, LAKE, PREFECT, WAREHOUSE, running

__all__ = ["DATA", "LAKE", "PREFECT", "WAREHOUSE", "running"]
