"""Prepares lake and warehouse once their services run; idempotent.

Afterwards the read-only account can read the table bucket, the lake's tables exist, the warehouse
has its databases and the lake attached, and Prefect knows the deployments.
"""

from urllib.parse import urlsplit

from catalog.connect import ensure_tables, open_catalog
from deploy.local.deployments import register
from deploy.local.seaweedfs import allow_reader
from lakehouse.connections.clickhouse_client import attach_lake
from lakehouse.home import open_home
from lakehouse.settings import load_settings


def main() -> None:
    """Run all steps, and print each."""
    settings = load_settings()
    # An external catalog's owner manages its permissions.
    if urlsplit(settings.catalog.uri).hostname == "seaweedfs":
        print("lake: the read-only account")
        allow_reader(
            str(settings.s3.endpoint),
            settings,
            {
                "s3_access_key": settings.s3.access_key,
                "s3_secret_key": settings.s3.secret_key.get_secret_value(),
            },
        )
    print("lake: tables")
    ensure_tables(open_catalog(settings.catalog, settings.s3))
    print("warehouse: databases and the lake")
    attach_lake(settings)
    register(settings, open_home(settings.home))


if __name__ == "__main__":
    main()
