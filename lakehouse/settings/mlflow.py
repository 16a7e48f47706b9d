"""Experiment tracking and the model registry."""

from pydantic import Field

from catalog.settings import Section


class MlflowSettings(Section):
    """MLflow; without an address a database file under the home directory is used."""

    tracking_uri: str | None = Field(
        None, description="MLflow server, or a database URL; default: sqlite under the home."
    )
    experiment: str = Field("weekahead", description="Experiment that holds the training runs.")
    model_name: str = Field("weekahead", description="Name in the model registry.")
