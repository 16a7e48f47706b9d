"""Fills addresses and credentials of our own services into the settings."""

from collections.abc import Mapping

from pydantic import SecretStr

from deploy.local import clickhouse, mlflow, prefect, seaweedfs
from deploy.local.service import HOST
from lakehouse.home import Secrets
from lakehouse.settings import Settings


def fill(settings: Settings, ports: Mapping[str, dict[str, int]], secrets: Secrets) -> Settings:
    """A copy of the settings that points to our own services.

    Args:
        settings: Configured addresses are kept.
        ports: Ports of the running services, by service and port name.
        secrets: The home's secrets.

    Returns:
        Settings with addresses and credentials of these services.
    """
    filled = settings.model_copy(deep=True)
    if lake := ports.get("seaweedfs"):
        filled.catalog.uri = f"http://{HOST}:{lake['catalog']}"
        filled.catalog.warehouse = seaweedfs.TABLE_BUCKET
        filled.s3.endpoint = f"http://{HOST}:{lake['s3']}"
        filled.s3.access_key = secrets["s3_access_key"]
        filled.s3.secret_key = SecretStr(secrets["s3_secret_key"])
        filled.s3.reader_access_key = secrets["s3_reader_access_key"]
        filled.s3.reader_secret_key = SecretStr(secrets["s3_reader_secret_key"])
    if warehouse := ports.get("clickhouse"):
        filled.clickhouse.url = f"http://{HOST}:{warehouse['http']}"
        for role in clickhouse.ROLES:
            setattr(filled.clickhouse, f"{role}_user", role)
            password = SecretStr(secrets[f"clickhouse_{role}"])
            setattr(filled.clickhouse, f"{role}_password", password)
    if models := ports.get("mlflow"):
        filled.mlflow.tracking_uri = f"http://{HOST}:{models['http']}"
        filled.mlflow.username = mlflow.ADMIN
        filled.mlflow.password = SecretStr(secrets[mlflow.PASSWORD])
    prefect.fill(filled, ports.get("prefect"), secrets)
    return filled
