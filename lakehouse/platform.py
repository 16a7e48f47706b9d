"""What a use case works with: settings, and the services that they name, each opened once."""

from contextlib import AbstractContextManager
from functools import cached_property
from typing import TYPE_CHECKING

from catalog.connect import open_catalog
from lakehouse.connections import clickhouse_client, tracking
from lakehouse.lease import alone
from lakehouse.settings import Settings

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client
    from pyiceberg.catalog import Catalog


class Platform(AbstractContextManager["Platform"]):
    """Lake, warehouse and models of one home, each opened when it is first used.

    Attributes:
        settings: Addresses of the running services, and everything that can be configured.

    Raises:
        CatalogUnavailable: The lake's catalog does not answer.
        ServiceError: ClickHouse, MLflow or the object store does not answer.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @cached_property
    def lake(self) -> "Catalog":
        """The lake's catalog, for writing."""
        return open_catalog(self.settings.catalog, self.settings.s3)

    @cached_property
    def warehouse(self) -> "Client":
        """ClickHouse as the writer, with the lake attached; threads may share it."""
        return clickhouse_client.connect(self.settings)

    @property
    def models(self) -> tracking.Models:
        """MLflow; its state is global, so each use directs this process to this home's models."""
        return tracking.connect(self.settings)

    def alone(self, stage: str) -> AbstractContextManager[None]:
        """Run a stage, such as ``train``, while no other command of a home on this lake does."""
        return alone(self.settings.home, self.settings.s3, stage)

    def close(self) -> None:
        """Close what is open; a later use opens it again.

        Networks drop connections that are silent for long, so close before hours of computing.
        """
        for name in ("lake", "warehouse"):
            if opened := self.__dict__.pop(name, None):
                opened.close()

    def __exit__(self, *_: object) -> None:
        """Close what is open."""
        self.close()
