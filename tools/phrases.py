"""A lint of constructions: ``phrases.toml`` lists them, ``make check`` looks for them."""

import ast
import io
import re
import sys
import tokenize
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GENERATED = {"dist", "site"}


@dataclass(frozen=True)
class Phrase:
    """A construction to avoid.

    Attributes:
        find: Matches it.
        say: What to write instead.
    """

    find: re.Pattern[str]
    say: str


def phrases() -> list[Phrase]:
    """The list, in the order of its file."""
    read = tomllib.loads((ROOT / "tools" / "phrases.toml").read_text())
    # A phrase may be broken over two lines.
    return [
        Phrase(re.compile(each["find"].replace(" ", r"\s+"), re.IGNORECASE), each["say"])
        for each in read["phrase"]
    ]


def found_in(path: Path, listed: list[Phrase]) -> Iterator[str]:
    """A line for each construction in a file: where, what, and what to write instead.

    Args:
        path: A Markdown, Python, SQL or YAML file.
        listed: What to look for.
    """
    text = path.read_text()
    for start, part in _prose(text) if path.suffix == ".py" else [(1, _without_code(text))]:
        for phrase in listed:
            for match in phrase.find.finditer(part):
                line = start + part.count("\n", 0, match.start())
                words = " ".join(match[0].split())
                yield f"{path.relative_to(ROOT)}:{line}: {words!r}: write: {phrase.say}"


def _without_code(text: str) -> str:
    """Markdown whose code is blank, with as many lines as before."""
    blank = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)
    return blank.sub(lambda match: "`" + "\n" * match[0].count("\n") + "`", text)


def _prose(text: str) -> Iterator[tuple[int, str]]:
    """Line number and text of every docstring and comment; adjacent comments are one."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            match first:
                case ast.Expr(value=ast.Constant(value=str(docstring), lineno=line)):
                    yield line, docstring
    comments: list[str] = []
    last = 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type != tokenize.COMMENT:
            continue
        line = token.start[0]
        if comments and line != last + 1:
            yield last - len(comments) + 1, "\n".join(comments)
            comments = []
        comments.append(token.string.lstrip("# "))
        last = line
    if comments:
        yield last - len(comments) + 1, "\n".join(comments)


def files() -> list[Path]:
    """Every Markdown and Python file, and those of the dbt project; nothing that was generated."""
    kinds = ("*.md", "*.py"), ("*.sql", "*.yml")
    found = [path for kind in kinds[0] for path in ROOT.glob(kind)]
    for folder in ROOT.iterdir():
        if folder.is_dir() and not folder.name.startswith(".") and folder.name not in GENERATED:
            wanted = kinds[0] + (kinds[1] if folder.name == "dbt" else ())
            found += [path for kind in wanted for path in folder.rglob(kind)]
    return sorted(path for path in found if not {"target", "logs"} & set(path.parts))


def main() -> None:
    """Print what is found; exit code 1 if there is anything."""
    listed = phrases()
    found = [line for path in files() for line in found_in(path, listed)]
    print("\n".join(found))
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
