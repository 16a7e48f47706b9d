"""Sessions without a bar: found against the symbol's calendar, and requested again."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date

import numpy as np
from numpy.typing import NDArray

from lakehouse.findings import MISSING_SESSIONS, NOTE, OPEN, WARNING, Finding

Days = NDArray[np.datetime64]

# A symbol with more gaps than this does not trade every day; its gaps are not requested again.
LARGEST_SHARE = 0.1
FEW_RUNS = 3
SHOWN = 5


def missing_sessions(
    source: str, symbol: str, sessions: Sequence[date], expected: Days, present: Days
) -> Iterator[Finding]:
    """Sessions without a bar, one finding per run of consecutive ones.

    Args:
        source: Quote source.
        symbol: The symbol.
        sessions: Trading days of its exchange, sorted.
        expected: Those of them that should have a bar, sorted.
        present: Days with a bar, or for which the source says that there is none.

    Yields:
        Warnings; or one note for a symbol that trades seldom.
    """
    missing: list[date] = np.setdiff1d(expected, present).astype(object).tolist()
    runs = list(_runs(missing, sessions))
    if len(runs) > max(FEW_RUNS, LARGEST_SHARE * len(expected)):
        seen = f"no bar on {len(missing):,} of {len(expected):,} sessions: it trades seldom"
        yield Finding(source, symbol, MISSING_SESSIONS, missing[0], missing[-1], NOTE, seen)
        return
    for run in runs:
        shown = ", ".join(map(str, run[:SHOWN])) + (", …" if len(run) > SHOWN else "")
        seen = f"no bar on {len(run):,} of the exchange's sessions ({shown}); asked for again"
        yield Finding(source, symbol, MISSING_SESSIONS, run[0], run[-1], WARNING, seen)


def days_to_ask_for(
    findings: Iterable[Finding],
    sessions: Callable[[str], Sequence[date]],
    rejected: Mapping[str, set[date]],
) -> dict[str, set[date]]:
    """Days by symbol that are still missing: open findings, and rejected bars.

    Args:
        findings: Findings of the source.
        sessions: Gives the sorted trading days of a symbol.
        rejected: Days of rejected bars by symbol.

    Returns:
        Days to request again, by symbol.
    """
    days = {symbol: set(several) for symbol, several in rejected.items()}
    for finding in findings:
        if (finding.rule, finding.state, finding.severity) == (MISSING_SESSIONS, OPEN, WARNING):
            known = sessions(finding.symbol)
            low, high = (
                bisect_left(known, finding.first_date),
                bisect_right(known, finding.last_date),
            )
            days.setdefault(finding.symbol, set()).update(known[low:high])
    return days


def _runs(missing: Sequence[date], sessions: Sequence[date]) -> Iterator[list[date]]:
    """Missing days in runs of neighbouring sessions."""
    run: list[date] = []
    for day in missing:
        if run and bisect_left(sessions, day) != bisect_left(sessions, run[-1]) + 1:
            yield run
            run = []
        run.append(day)
    if run:
        yield run
