"""The dlt destination: every Parquet file of a load goes to the project's own merge."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import dlt
from dlt.common.destination.exceptions import DestinationTerminalException

from lakehouse.landing.landing import Landing

if TYPE_CHECKING:
    from dlt.common.destination import Destination


def lake_destination(landing: Landing) -> "Destination[Any, Any]":
    """A dlt destination that lands each file.

    dlt's own Iceberg writers are not used: they merge in small batches with one snapshot each, and
    silently fall back to an in-memory catalog.
    """

    # dlt polls for finished jobs unless it runs them in a pool, so the tables load in parallel;
    # the landing itself takes them one at a time.
    @dlt.destination(
        batch_size=0,
        loader_file_format="parquet",
        naming_convention="direct",
        skip_dlt_columns_and_tables=True,
        loader_parallelism_strategy="table-sequential",
        name="lake",
    )
    def lake(file: Any, table: Any, /) -> None:
        try:
            landing.land(table["name"], Path(file))
        except Exception as error:
            landing.error = error
            # Commits have their own retries, so dlt must not retry a failure.
            raise DestinationTerminalException(str(error)) from error

    return lake()
