"""The services that weekahead starts itself if they have no address."""

from pydantic import Field, SecretStr

from catalog.settings import Section

_PORT = "; 0 takes a free one and keeps it."
_PAGE = "; 0 takes {} or, when that is taken, a free one, and keeps it."


class ServicesSettings(Section):
    """Embedded services, on loopback only."""

    s3_port: int = Field(0, ge=0, le=65535, description="Port of the embedded S3" + _PORT)
    catalog_port: int = Field(
        0, ge=0, le=65535, description="Port of the embedded Iceberg catalog" + _PORT
    )
    clickhouse_port: int = Field(
        0, ge=0, le=65535, description="HTTP port of the embedded ClickHouse" + _PORT
    )
    prefect_port: int = Field(
        0, ge=0, le=65535, description="Port of the local stack's Prefect" + _PAGE.format(4200)
    )
    mlflow_port: int = Field(
        0, ge=0, le=65535, description="Port of the local stack's MLflow" + _PAGE.format(5000)
    )
    superset_port: int = Field(
        0, ge=0, le=65535, description="Port of the local stack's Superset" + _PAGE.format(8088)
    )
    airflow_port: int = Field(
        0, ge=0, le=65535, description="Port of the local stack's Airflow" + _PAGE.format(8080)
    )
    start_timeout_seconds: float = Field(
        60.0, gt=0, le=600, description="How long a service may take until it answers."
    )
    memory_gb: float | None = Field(
        None,
        ge=1,
        description="Memory in GiB that engine, store, training and programs share; default: "
        "three quarters of the machine's, or of its control group's, and at most 7.",
    )
    min_free_disk_mb: int = Field(
        500, ge=0, description="Free disk space below which nothing is started."
    )


class PrefectSettings(Section):
    """The local stack's Prefect server; clients also use Prefect's own variables."""

    api_url: str | None = Field(
        None,
        description="API of a Prefect server that the local stack uses instead of one of its own; "
        "default: PREFECT_API_URL.",
    )
    auth_string: SecretStr | None = Field(
        None, description="Its user:password; default: PREFECT_API_AUTH_STRING."
    )
    database_url: SecretStr | None = Field(
        None,
        description="Database of the local stack's server, such as "
        "postgresql+asyncpg://user:password@host/prefect; default: sqlite under the home.",
    )
    webhook_url: SecretStr | None = Field(
        None, description='Where alerts are posted as {"text": …}, as chat programs take them.'
    )
    work_pool: str = Field("weekahead", description="Work pool of the deployments.")
