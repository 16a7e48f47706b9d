"""Findings as CSV, so that a team can keep its decisions under version control."""

import csv
from collections.abc import Iterable
from dataclasses import fields
from datetime import date, datetime
from typing import IO

from pyiceberg.catalog import Catalog

from lakehouse.errors import UsageError
from lakehouse.findings import ACKNOWLEDGED, MENDED, OPEN, Finding, list_findings, write

COLUMNS = tuple(field.name for field in fields(Finding))
STATES = (OPEN, ACKNOWLEDGED, MENDED)


def write_csv(findings: Iterable[Finding], file: IO[str]) -> None:
    """Write findings as CSV with a header, sorted by key so that diffs stay small.

    Args:
        findings: The findings, in any order.
        file: A text file opened for writing.
    """
    writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for finding in sorted(findings, key=lambda finding: finding.key):
        writer.writerow(finding.to_dict())


def read_csv(file: IO[str], name: str) -> list[Finding]:
    """Read findings in the format of ``write_csv``.

    Args:
        file: A text file opened for reading; only the first five columns are required.
        name: Name of the file for error messages.

    Returns:
        The findings in the order of the file.

    Raises:
        UsageError: A column is missing or a value cannot be parsed; the message names the line.
    """
    reader = csv.DictReader(file)
    missing = [column for column in COLUMNS[:5] if column not in (reader.fieldnames or ())]
    if missing:
        raise UsageError(
            f"{name} has no column {', '.join(missing)}: 'weekahead findings export' writes them."
        )
    found = []
    for number, row in enumerate(reader, start=2):
        try:
            found.append(_finding({key: value for key, value in row.items() if key in COLUMNS}))
        except (ValueError, TypeError, KeyError) as error:
            raise UsageError(f"{name}, line {number}: {error}. Nothing was imported.") from error
    return found


def import_csv(catalog: Catalog, file: IO[str], name: str) -> int:
    """Merge findings from CSV into the lake; decisions in the file win.

    Args:
        catalog: The lake.
        file: A text file in the format of ``write_csv``.
        name: Name of the file for error messages and for the load id.

    Returns:
        Number of findings that were new or different.

    Raises:
        UsageError: A column is missing or a value cannot be parsed; nothing is imported.
        CommitConflict: Other writers won every attempt; nothing was written.
    """
    given = read_csv(file, name)
    here = {finding.key: finding for finding in list_findings(catalog)}
    changed = [finding for finding in given if here.get(finding.key) != finding]
    write(catalog, changed, f"imported from {name}")
    return len(changed)


def _finding(row: dict[str, str | None]) -> Finding:
    text = {key: value or "" for key, value in row.items()}
    first = date.fromisoformat(text["first_date"])
    state = text.get("state") or OPEN
    if state not in STATES:
        raise ValueError(f"the state '{state}' is none of {', '.join(STATES)}")
    if not text["source"] or not text["rule"]:
        raise ValueError("source and rule must not be empty")
    return Finding(
        source=text["source"],
        symbol=text["symbol"],
        rule=text["rule"],
        first_date=first,
        last_date=date.fromisoformat(text["last_date"]) if text.get("last_date") else first,
        severity=text.get("severity") or "warning",
        seen=text.get("seen", ""),
        proposal=text.get("proposal", ""),
        state=state,
        acknowledged_by=text.get("acknowledged_by") or None,
        acknowledged_why=text.get("acknowledged_why") or None,
        acknowledged_at=_time(text.get("acknowledged_at")),
        found_at=_time(text.get("found_at")),
    )


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
