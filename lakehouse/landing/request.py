"""What an ingest is asked to do, and what it says it did."""

import re
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any

from lakehouse.findings import Finding

# What Yahoo and the Moscow Exchange accept: M&M.NS, ^GSPC, EURUSD=X, BRK-B, GLDRUB_TOM.
SYMBOL_CHARACTERS = r"A-Z0-9.^=_&$@+!*:~-"
SYMBOL = re.compile(rf"[a-z{SYMBOL_CHARACTERS}]{{1,40}}")


@dataclass(frozen=True)
class IngestRequest:
    """What to fetch.

    Attributes:
        source: Name of the quote source.
        symbols: Symbols to read; None with no board: all that the source lists.
        board: Read this whole board, day by day.
        start: First date; None: where the lake's data ends, less the look-back.
        end: Last date; None: today.
    """

    source: str = "sample"
    symbols: tuple[str, ...] | None = None
    board: str | None = None
    start: date | None = None
    end: date | None = None


@dataclass(frozen=True)
class Counts:
    """Rows by what became of them.

    Attributes:
        new: Keys that the lake did not have.
        corrected: Rows that replaced others.
        unchanged: Rows that the lake had already.
        rejected: Rows that the quality gate kept out.
        flagged: Rows that were let in with a remark.
    """

    new: int = 0
    corrected: int = 0
    unchanged: int = 0
    rejected: int = 0
    flagged: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        """Both together."""
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
        source: Name of the quote source.
        tables: Counts by table.
        symbols: Counts of quotes by symbol.
        failed: Symbols, days or tables that failed, with the reason; next time they are tried
            again.
        warnings: What is missing without being a failure.
        findings: What is new or open again among the findings.
        open_findings: How many findings of the source are open, by severity.
        snapshots: The tables' current snapshot ids.
        requests: HTTP requests that were made.
        seconds: Time it took.
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
        """0 when everything that was asked for was read, else 1."""
        return 1 if self.failed else 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {"exit_code": self.exit_code}
