"""The command blocks of the documentation: which there are, and running them as a reader does."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
_BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<reason>[^\n]+) -->\n)?^```(?P<kind>\w*)[^\n]*\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        page: The page, relative to the checkout.
        line: Where its text begins.
        kind: ``bash`` for commands that are meant to be run as they stand.
        text: What is between the fences.
        not_run: Why no test runs it; None if one does.
    """

    page: str
    line: int
    kind: str
    text: str
    not_run: str | None

    @property
    def commands(self) -> list[str]:
        """Its lines without comments."""
        lines = (re.sub(r"(^|\s)#\s.*$", "", line).strip() for line in self.text.splitlines())
        return [line for line in lines if line]


def pages() -> list[str]:
    """Every page for people, relative to the checkout."""
    return [
        str(path.relative_to(ROOT))
        for path in (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")))
    ]


def blocks(page: str) -> list[Block]:
    """All fenced blocks of a page, in order."""
    text = (ROOT / page).read_text()
    return [
        Block(
            page,
            text.count("\n", 0, match.start("text")) + 1,
            match["kind"],
            match["text"],
            match["reason"],
        )
        for match in _BLOCK.finditer(text)
    ]


def to_run(page: str) -> list[Block]:
    """The blocks of a page that a test runs."""
    return [each for each in blocks(page) if each.kind == "bash" and not each.not_run]


def run(block: Block, folder: Path, **environment: str) -> str:
    """Run a block in a folder, as a reader does; its standard output.

    Args:
        block: Every command of it has to succeed.
        folder: The current folder; the home is ``.weekahead`` in it.
        **environment: Variables beside those of the test.
    """
    programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.text],
        cwd=folder,
        env=os.environ | {"PATH": programs} | environment,
        capture_output=True,
        text=True,
        timeout=500,
    )
    where = f"{block.page}:{block.line}"
    assert done.returncode == 0, f"{where}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr, f"{where}\n{done.stderr}"
    return done.stdout
