"""The page of errors: the tree, and every message that the code can end with."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import lakehouse.errors
import lakehouse.models.registry
from catalog.errors import WeekaheadError
from tools.reference.markdown import code, table

ROOT = Path(__file__).resolve().parents[2]
HEAD = """# Errors

A command that fails prints one message and ends with exit code 1; wrong usage ends with 2, an
interrupt with 130. The message says what happened, to which symbol or date, and what to do next.
The class says who can mend it:

```
{tree}
```

In Python, catch a group (`RetriableError`, `SkippableError` …) or the root,
`lakehouse.errors.WeekaheadError`. `weekahead doctor` finds most causes of the fatal ones.
"""
NEXT = {
    "UsageError": "Correct the command or the setting that the message names.",
    "FatalError": "Act as the message says, then run the command again.",
    "RetriableError": "Run the command again later; Prefect's deployments do so by themselves.",
    "TableMissing": "Run `weekahead ingest` first.",
    "SkippableError": "Correct the symbol, or leave it out; all others were handled.",
    "DataError": "Look at the data: `weekahead rejects`, `weekahead findings`.",
    "UntrustedModel": "Train again, or roll back to another version.",
    "SchemaMismatch": "Program and table disagree: update weekahead, or report the message.",
}
MESSAGES = """## Messages

Grouped by class; `…` stands for what differs from case to case.
"""


def page() -> str:
    """The page as Markdown."""
    tree = (lakehouse.errors.__doc__ or "").partition("\n\n")[2].partition("\n\n")[0]
    classes = list(dict.fromkeys(_subclasses(WeekaheadError)))
    rows = (
        (code(each.__name__), (each.__doc__ or "").partition("\n\n")[0], _next(each))
        for each in classes
    )
    parts = [HEAD.format(tree=tree), table(("class", "cause", "next step"), rows) + "\n", MESSAGES]
    found = _messages({each.__name__ for each in classes})
    for each in classes:
        if messages := found.get(each.__name__):
            parts.append(f"### {each.__name__}\n")
            parts += [f"- {message}" for message in sorted(messages)] + [""]
    return "\n".join(parts)


def _subclasses(base: type[WeekaheadError]) -> Iterator[type[WeekaheadError]]:
    """Every error below a class, depth first."""
    for each in base.__subclasses__():
        yield each
        yield from _subclasses(each)


def _next(each: type[WeekaheadError]) -> str:
    return next((NEXT[base.__name__] for base in each.__mro__ if base.__name__ in NEXT), "")


def _messages(names: set[str]) -> dict[str, set[str]]:
    """Texts that ``raise NAME(text)`` in our packages passes on, by class."""
    found = defaultdict(set)
    for package in ("catalog", "lakehouse", "deploy/local", "flows"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                match node:
                    case ast.Raise(exc=ast.Call(func=ast.Name(id=name), args=[message, *_])) if (
                        name in names and (text := _text(message))
                    ):
                        found[name].add(text)
    return found


def _text(node: ast.expr) -> str:
    """A message with ``…`` for its variable parts; nothing if hardly anything is fixed."""
    match node:
        case ast.Constant(value=str(text)):
            fixed = text
        case ast.JoinedStr(values=parts):
            fixed = "".join(
                str(part.value) if isinstance(part, ast.Constant) else "…" for part in parts
            )
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            fixed = (_text(left) or "…") + (_text(right) or "…")
        case _:
            return ""
    fixed = " ".join(fixed.split())
    # What Markdown or HTML would read as markup is text here.
    escaped = re.sub(r"([*_<>\[\]])", r"\\\1", fixed)
    return escaped if len(re.findall(r"\w{2,}", fixed)) > 2 else ""
