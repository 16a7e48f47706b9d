"""The dashboards."""

from typing import Literal

from pydantic import Field, SecretStr

from catalog.settings import Section


class SupersetSettings(Section):
    """Superset, in its own environment, on loopback."""

    database_uri: SecretStr | None = Field(
        None,
        description=(
            "Where Superset keeps its own state, such as postgresql://user:password@host/superset; "
            "unset means a SQLite file below the home."
        ),
    )
    language: Literal["en", "ru"] = Field(
        "en", description="Language of the dashboards and of Superset's own pages."
    )
    admin_user: str = Field("admin", min_length=1, description="Account created on first start.")
    public: bool = Field(
        False, description="Whether the dashboards can be read without an account."
    )
    threads: int = Field(8, ge=1, le=64, description="Requests answered at the same time.")
