"""Kinds of models that are found by their file: to add one is to add a module to a folder."""

from collections.abc import Sequence
from importlib import import_module
from pkgutil import iter_modules
from typing import TypeVar

T = TypeVar("T")


def discover(package: str, base: type[T], first: Sequence[str]) -> dict[str, type[T]]:
    """Every class with a ``kind`` that a module of a package defines, by kind.

    Args:
        package: Name of the package.
        base: What the classes derive from.
        first: Kinds that come first, in this order; the others follow by name.
    """
    found: dict[str, type[T]] = {}
    for name in sorted(module.name for module in iter_modules(import_module(package).__path__)):
        module = import_module(f"{package}.{name}")
        for value in vars(module).values():
            if not isinstance(value, type) or value.__module__ != module.__name__:
                continue
            if issubclass(value, base) and "kind" in vars(value):
                found[vars(value)["kind"]] = value
    return {name: found.pop(name) for name in first} | dict(sorted(found.items()))
