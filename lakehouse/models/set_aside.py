"""Symbols that severe open findings exclude from training and forecasts."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lakehouse.panel.dataset import Dataset, Dates, Mask

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client


@dataclass(frozen=True)
class SetAside:
    """The exclusions and their reasons.

    Attributes:
        since: First excluded date, by source and symbol.
        reasons: The finding in words, by source and symbol.
    """

    since: Mapping[tuple[str, str], date]
    reasons: Mapping[tuple[str, str], str]

    def mask(self, frame: pd.DataFrame, dates: Dates) -> Mask:
        """Mark the rows whose symbol is excluded on a date.

        Args:
            frame: Rows with ``source`` and ``symbol``, n of them.
            dates: The date to check for each row, shape (n,).

        Returns:
            Shape (n,); True means excluded.
        """
        out = np.zeros(len(frame), dtype=bool)
        for (source, symbol), day in self.since.items():
            its = ((frame["source"] == source) & (frame["symbol"] == symbol)).to_numpy(dtype=bool)
            out |= its & (dates >= np.datetime64(day, "D"))
        return out

    def leave_out(self, dataset: Dataset) -> Dataset:
        """The dataset without excluded rows, and without labels that reach into excluded dates."""
        if not self.since:
            return dataset
        kept = dataset.select(~self.mask(dataset.frame, dataset.dates))
        targets, target_dates = kept.targets.copy(), kept.target_dates.copy()
        variances = kept.variances.copy()
        for h in range(targets.shape[1]):
            reaches = self.mask(kept.frame, target_dates[:, h])
            targets[reaches, h] = variances[reaches, h] = np.nan
            target_dates[reaches, h] = np.datetime64("NaT")
        frame = kept.frame.reset_index(drop=True)
        return Dataset(frame, targets, target_dates, variances, calendar=dataset.calendar)

    def split(self, frame: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
        """As-of rows that may be forecast, and the reasons why the others may not."""
        out = self.mask(frame, frame["trade_date"].to_numpy().astype("datetime64[D]"))
        names = zip(frame.loc[out, "source"], frame.loc[out, "symbol"], strict=True)
        reasons = tuple(sorted(self.reasons[str(source), str(symbol)] for source, symbol in names))
        return frame[~out].reset_index(drop=True), reasons


def read_set_aside(client: "Client", marts: str = "marts") -> SetAside:
    """Read the exclusions, as of the last build of the marts.

    Args:
        client: The warehouse.
        marts: Database of the marts.

    Returns:
        The exclusions.
    """
    rows = client.query(
        "SELECT source, symbol, min(first_date), argMin(rule, first_date), "  # noqa: S608
        f"argMin(seen, first_date) FROM `{marts}`.fct_findings "
        "WHERE sets_aside GROUP BY source, symbol"
    ).result_rows
    since = {(str(source), str(symbol)): day for source, symbol, day, *_ in rows}
    reasons = {
        (str(source), str(symbol)): f"{source} {symbol} from {day} on: {rule}: {seen}"
        for source, symbol, day, rule, seen in rows
    }
    return SetAside(since, reasons)
