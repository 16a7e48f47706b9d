"""Docstrings that a reader can rely on: every argument is described, and none that is gone.

Ruff's D417 checks an ``Args`` section for completeness, but does not require one.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("catalog", "lakehouse", "deploy", "flows", "airflow_bridge/src")
# Scripts that run inside Superset's own environment.
SKIPPED = ("deploy/superset",)
# Decorators that turn a function into a command, whose docstring is its --help.
COMMANDS = ("click.command", "click.group", "findings.command", "user.command")
NAME = re.compile(r"    (\*{0,2}\w+):")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions() -> dict[str, Function]:
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            module = str(path.relative_to(ROOT))
            if not module.startswith(SKIPPED):
                found |= {
                    f"{module}:{name}": node for name, node in public(ast.parse(path.read_text()))
                }
    return found


def public(node: ast.Module | ast.ClassDef, inside: str = "") -> Iterator[tuple[str, Function]]:
    for child in node.body:
        if isinstance(child, ast.ClassDef) and not child.name.startswith("_"):
            yield from public(child, f"{inside}{child.name}.")
        elif isinstance(child, Function) and not child.name.startswith("_"):
            yield f"{inside}{child.name}", child


def arguments(function: Function) -> list[str]:
    given = function.args
    names = [each.arg for each in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    names += [f"*{given.vararg.arg}"] if given.vararg else []
    names += [f"**{given.kwarg.arg}"] if given.kwarg else []
    return [name for name in names if name not in ("self", "cls")]


def described(docstring: str) -> list[str] | None:
    """The names in the section ``Args``; None without one."""
    _, found, rest = docstring.partition("\nArgs:\n")
    return NAME.findall(re.split(r"\n(?=\S)", rest)[0]) if found else None


def is_command(function: Function) -> bool:
    return any(ast.unparse(each).startswith(COMMANDS) for each in function.decorator_list)


def results(function: Function) -> bool:
    return function.returns is not None and ast.unparse(function.returns) not in (
        "None",
        "Iterator[None]",
    )


def problem(name: str, function: Function) -> str:
    """What a reader would miss in a docstring; empty if nothing."""
    docstring = ast.get_docstring(function) or ""
    names, found = arguments(function), described(docstring)
    if is_command(function):
        section = re.search(r"^(Args|Returns|Raises):$", docstring, re.MULTILINE)
        return f"{name}: {section[0]} would show in --help" if section else ""
    if found is None:
        return f"{name}: describe {', '.join(names)} in Args" if len(names) > 1 else ""
    if sorted(found) != sorted(names):
        return f"{name}: Args has {', '.join(found)} instead of {', '.join(names)}"
    if results(function) and not re.search(r"^(Returns|Yields):$", docstring, re.MULTILINE):
        return f"{name}: describe the result in Returns or Yields"
    return ""


def test_arguments_and_results_are_described() -> None:
    problems = [found for name, each in functions().items() if (found := problem(name, each))]

    assert not problems, "\n".join(problems)


@pytest.mark.parametrize(
    ("docstring", "expected"),
    [
        ("Add.", "add: describe a, b in Args"),
        ("Add.\n\nArgs:\n    a: One.\n    c: Two.", "add: Args has a, c instead of a, b"),
        (
            "Add.\n\nArgs:\n    a: One.\n    b: Two.",
            "add: describe the result in Returns or Yields",
        ),
        ("Add.\n\nArgs:\n    a: One.\n    b: Two.\n\nReturns:\n    The sum.", ""),
    ],
)
def test_what_is_missing_is_named(docstring: str, expected: str) -> None:
    [function] = ast.parse(f"def add(a: int, b: int) -> int:\n    {docstring!r}\n").body

    assert isinstance(function, ast.FunctionDef)
    assert problem("add", function) == expected
