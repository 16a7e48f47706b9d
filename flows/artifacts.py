"""Artifacts of a run: for people in Prefect's UI, and for ``--remote`` to show."""

import json
import re
from typing import Any

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from lakehouse.results import Result, Table

MAX_ROWS = 100
# Forecasts of a whole exchange exceed this; they are read from the ledger.
MAX_DATA = 2 * 2**20
RESULT = "result"


def leave(use_case: str, result: Result) -> None:
    """Store a result as artifacts: each table, the text, the problems, and everything as JSON.

    Args:
        use_case: Name of the use case; the prefix of the artifacts' keys.
        result: The result.
    """
    lines = []
    for part in result.parts:
        if isinstance(part, Table):
            _table(f"{use_case}-{part.key}", part)
        else:
            lines.append(_markdown(part))
    if lines:
        create_markdown_artifact("\n\n".join(lines), key=f"{use_case}-summary")
    if problems := [*result.errors, *result.warnings]:
        text = "\n".join(f"- {_markdown(problem)}" for problem in problems)
        create_markdown_artifact(text, key=f"{use_case}-problems", description="To look at")
    text = f"```json\n{to_json(result)}\n```"
    create_markdown_artifact(text, key=f"{use_case}-{RESULT}", description="For --remote")


def to_json(result: Result) -> str:
    """Serialise a result so that :func:`from_json` can read it."""
    data = json.dumps(result.data, default=str)
    plain = {
        "data": json.loads(data) if len(data) <= MAX_DATA else None,
        "parts": [
            part
            if isinstance(part, str)
            else vars(part) | {"rows": list(part.rows)[:MAX_ROWS], "total": len(part.rows)}
            for part in result.parts
        ],
        "warnings": list(result.warnings),
        "errors": list(result.errors),
        "exit_code": result.exit_code,
    }
    return json.dumps(plain, default=str)


def from_json(artifact: str) -> Result:
    """Parse a result from an artifact."""
    plain: dict[str, Any] = json.loads(artifact.removeprefix("```json\n").removesuffix("\n```"))
    parts = [part if isinstance(part, str) else Table(**part) for part in plain.pop("parts")]
    return Result(parts=parts, **plain)


def _table(key: str, table: Table) -> None:
    rows = [dict(zip(_unique(table.headers), row, strict=True)) for row in table.rows[:MAX_ROWS]]
    description = table.title
    if len(table.rows) > MAX_ROWS:
        description += f" The first {MAX_ROWS} of {len(table.rows)} rows."
    create_table_artifact(rows, key=key, description=description)


def _unique(headers: Any) -> list[str]:
    """Headers as dictionary keys; a repeated one gets a number."""
    found: list[str] = []
    for header in headers:
        found.append(f"{header} 2" if header in found else header or "name")
    return found


def _markdown(text: str) -> str:
    """Escape text for Markdown, so that underscores in names survive."""
    return re.sub(r"([_*`])", r"\\\1", text)
