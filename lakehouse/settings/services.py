"""The services that weekahead starts itself when no address is set for them."""

from pydantic import Field

from catalog.settings import Section

_PORT = "; 0 takes a free one and keeps it."


class ServicesSettings(Section):
    """Embedded services, on loopback only."""

    s3_port: int = Field(0, ge=0, le=65535, description="Port of the embedded S3" + _PORT)
    catalog_port: int = Field(
        0, ge=0, le=65535, description="Port of the embedded Iceberg catalog" + _PORT
    )
    clickhouse_port: int = Field(
        0, ge=0, le=65535, description="HTTP port of the embedded ClickHouse" + _PORT
    )
    start_timeout_seconds: float = Field(
        60.0, gt=0, le=600, description="How long a service may take until it answers."
    )
    min_free_disk_mb: int = Field(
        500, ge=0, description="Free disk space below which nothing is started."
    )
