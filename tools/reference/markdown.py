"""Markdown tables whose cells may hold any text."""

from collections.abc import Iterable, Sequence


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; line breaks in cells become spaces.

    Args:
        heads: Titles of the columns.
        rows: One sequence of cells per row, as long as ``heads``.
    """
    lines = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    for row in rows:
        cells = (" ".join(cell.split()).replace("|", "\\|") for cell in row)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def code(text: object) -> str:
    """Inline code; nothing for an empty text."""
    return f"`{text}`" if str(text) else ""
