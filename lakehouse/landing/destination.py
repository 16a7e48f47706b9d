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

    dlt's own Iceberg writers are not used: they merge in small batches, one snapshot each, and fall
    back to a catalog in memory without a word.
    """

    # Files of different tables are loaded by a pool, which is what makes dlt wake up at once when
    # the last is done; the landing itself takes them one after the other.
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
            # Commits are retried below; dlt must not try again what has failed for good.
            raise DestinationTerminalException(str(error)) from error

    return lake()
