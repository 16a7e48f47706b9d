"""Arrow tables as polars frames."""

from typing import cast

import polars as pl
import pyarrow as pa


def to_frame(rows: pa.Table) -> pl.DataFrame:
    """The table as a polars frame, sharing its memory."""
    # from_arrow gives a Series only for a single array.
    return cast(pl.DataFrame, pl.from_arrow(rows))
