"""Age of the newest quotes."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from pyiceberg.catalog import Catalog
from pyiceberg.expressions import And, EqualTo, GreaterThanOrEqual

from catalog.connect import load_table
from catalog.tables import QUOTES

# Allows for a long weekend and a holiday between two sessions.
FRESH_DAYS = 5
# Sources whose history is over.
ENDED = ("sample",)


@dataclass(frozen=True)
class Freshness:
    """Freshness of one source's quotes.

    Attributes:
        source: Quote source.
        bars: Number of quotes.
        newest: Latest trading date.
    """

    source: str
    bars: int
    newest: date

    @property
    def age(self) -> timedelta:
        """Time since the newest trading date."""
        return datetime.now(UTC).date() - self.newest

    @property
    def stale(self) -> bool:
        """Whether newer quotes should exist by now."""
        return self.source not in ENDED and self.age > timedelta(days=FRESH_DAYS)


def is_stale(catalog: Catalog, source: str) -> bool:
    """Whether a source has no recent quotes; reads only the latest partition.

    Args:
        catalog: The lake.
        source: Quote source; one whose history has ended is never stale.

    Returns:
        True if no bar is dated within the last ``FRESH_DAYS`` days.

    Raises:
        TableMissing: The lake has no quotes table yet.
        CatalogUnavailable: The catalog does not answer.
    """
    if source in ENDED:
        return False
    oldest = datetime.now(UTC).date() - timedelta(days=FRESH_DAYS)
    recent = And(EqualTo("source", source), GreaterThanOrEqual("trade_date", oldest.isoformat()))
    return load_table(catalog, QUOTES).scan(row_filter=recent).count() == 0


def freshness(catalog: Catalog) -> list[Freshness]:
    """Freshness of every source with quotes in the lake."""
    rows = load_table(catalog, QUOTES).scan(selected_fields=("source", "trade_date")).to_arrow()
    newest = rows.group_by("source").aggregate([("trade_date", "max"), ("trade_date", "count")])
    return [
        Freshness(row["source"], row["trade_date_count"], row["trade_date_max"])
        for row in sorted(newest.to_pylist(), key=lambda row: str(row["source"]))
    ]
