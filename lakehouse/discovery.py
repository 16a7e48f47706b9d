"""Finds model kinds by file: to add one, add a module to a folder."""

from collections.abc import Sequence
from importlib import import_module
from pkgutil import iter_modules
from typing import TypeVar

T = TypeVar("T")


def discover(package: str, base: type[T], first: Sequence[str]) -> dict[str, type[T]]:
    """Find every class with a ``kind`` that the modules of a package define.

    Args:
        package: Dotted name of the package; all of its modules are imported.
        base: Only subclasses of this count.
        first: Kinds that come first, in this order; the rest follow alphabetically.

    Returns:
        The classes by kind.

    Raises:
        KeyError: A kind in ``first`` does not exist.
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
