"""The request of an ingest, and its report."""

import re
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any

from lakehouse.findings import Finding

# Symbols that Yahoo and the Moscow Exchange use: M&M.NS, ^GSPC, EURUSD=X, BRK-B, GLDRUB_TOM.
SYMBOL_CHARACTERS = r"A-Z0-9.^=_&$@+!*:~-"
SYMBOL = re.compile(rf"[a-z{SYMBOL_CHARACTERS}]{{1,40}}")


@dataclass(frozen=True)
class IngestRequest:
    """What to fetch.

    Attributes:
        source: Quote source.
        symbols: Symbols to read; None without a board reads all that the source lists.
        board: Read this whole board, day by day.
        start: First date; None starts where the lake's data ends, minus the look-back.
        end: Last date; None means today.
    """

    source: str = "sample"
    symbols: tuple[str, ...] | None = None
    board: str | None = None
    start: date | None = None
    end: date | None = None


@dataclass(frozen=True)
class Counts:
    """Number of rows by outcome.

    Attributes:
        new: Keys that the lake did not have.
        corrected: Rows that replaced different ones.
        unchanged: Rows that the lake already had.
        rejected: Rows that the quality gate kept out.
        flagged: Rows that were accepted with a remark.
    """

    new: int = 0
    corrected: int = 0
    unchanged: int = 0
    rejected: int = 0
    flagged: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        """The sum of both."""
        return Counts(
            self.new + other.new,
            self.corrected + other.corrected,
            self.unchanged + other.unchanged,
            self.rejected + other.rejected,
            self.flagged + other.flagged,
        )


@dataclass(frozen=True)
class IngestReport:
    """What an ingest did.

    Attributes:
        source: Quote source.
        tables: Counts by table.
        symbols: Counts of quotes by symbol.
        failed: Symbols, days or tables that failed, with the reason; retried next time.
        warnings: What is missing without being a failure.
        findings: New and reopened findings.
        open_findings: Number of open findings of the source, by severity.
        snapshots: Current snapshot ids of the tables.
        requests: Number of HTTP requests.
        seconds: Duration.
    """

    source: str
    tables: dict[str, Counts] = field(default_factory=dict)
    symbols: dict[str, Counts] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    open_findings: dict[str, int] = field(default_factory=dict)
    snapshots: dict[str, int | None] = field(default_factory=dict)
    requests: int = 0
    seconds: float = 0.0

    @property
    def exit_code(self) -> int:
        """0 if everything requested was read, else 1."""
        return 1 if self.failed else 0

    def to_dict(self) -> dict[str, Any]:
        """The report as a dictionary, for JSON."""
        return asdict(self) | {"exit_code": self.exit_code}
