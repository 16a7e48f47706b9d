"""Quote sources: one folder each, discovered by name.

A folder that defines a function ``open_source`` is a source; no registration is needed. See
``lakehouse.sources.reader`` for the interface.
"""

from importlib import import_module
from pkgutil import iter_modules
from typing import cast

from lakehouse.errors import UsageError
from lakehouse.sources.reader import Opener

SOURCES: tuple[str, ...] = tuple(
    sorted(module.name for module in iter_modules(__path__) if module.ispkg)
)


def find_source(name: str) -> Opener:
    """The function that opens a source.

    Raises:
        UsageError: There is no such source.
    """
    if name not in SOURCES:
        raise UsageError(f"There is no quote source '{name}'. Choose one of: {', '.join(SOURCES)}.")
    return cast(Opener, import_module(f"{__name__}.{name}").open_source)
