"""The warehouse: address and accounts of ClickHouse."""

from pydantic import Field, SecretStr

from catalog.settings import Section


class ClickHouseSettings(Section):
    """ClickHouse over HTTP; one account for each kind of client."""

    url: str | None = Field(
        None,
        description="Address such as http://127.0.0.1:8123; unset starts the embedded server.",
    )
    admin_user: str = Field("admin", description="Account that attaches the lake.")
    admin_password: SecretStr = Field(SecretStr(""), description="Its password.")
    writer_user: str = Field("writer", description="Account of dbt and of the pipeline.")
    writer_password: SecretStr = Field(SecretStr(""), description="Its password.")
    reader_user: str = Field("reader", description="Account of dashboards and ad-hoc SQL.")
    reader_password: SecretStr = Field(SecretStr(""), description="Its password.")
    threads: int | None = Field(
        None,
        ge=1,
        le=64,
        description="dbt models built at the same time; default: 2, or 1 where the lake's bars are "
        "many for the engine's memory.",
    )
    max_memory_gb: float | None = Field(
        None,
        ge=0.25,
        description="Memory of the embedded server's queries, in GiB; default: its share of "
        "services.memory_gb.",
    )
