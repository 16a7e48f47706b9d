"""Experiment tracking and the model registry."""

from pydantic import Field, SecretStr

from catalog.settings import Section

# Names appear in URLs, and in quotes in search filters.
_NAME = r"^[\w .@+-]{1,100}$"


class MlflowSettings(Section):
    """MLflow; without an address a database file under the home directory is used."""

    tracking_uri: str | None = Field(
        None, description="MLflow server, or a database URL; default: sqlite under the home."
    )
    username: str | None = Field(None, description="Account on the server, when it asks for one.")
    password: SecretStr | None = Field(None, description="Its password.")
    database_url: SecretStr | None = Field(
        None,
        description="Database of the local stack's MLflow server; default: sqlite under the home.",
    )
    experiment: str = Field(
        "weekahead", pattern=_NAME, description="Experiment that holds the training runs."
    )
    model_name: str = Field("weekahead", pattern=_NAME, description="Name in the model registry.")
