"""Scale models: how far a price may go, which is what an interval is made of.

Every module in this folder that defines a ``ScaleModel`` with a ``kind``. To add one, add a file:
it is found, validated, gated and served like the others.
"""

from importlib import import_module
from pkgutil import iter_modules

from lakehouse.forecasting.scales.scale import ScaleModel

# What every other one is measured by, and what serves while nothing beats it.
REFERENCE = "deviation"


def _discover() -> dict[str, type[ScaleModel]]:
    found: dict[str, type[ScaleModel]] = {}
    for name in sorted(module.name for module in iter_modules(__path__)):
        module = import_module(f"{__name__}.{name}")
        for value in vars(module).values():
            ours = isinstance(value, type) and value.__module__ == module.__name__
            if ours and issubclass(value, ScaleModel) and "kind" in vars(value):
                found[value.kind] = value
    return {REFERENCE: found.pop(REFERENCE)} | dict(sorted(found.items()))


SCALES: dict[str, type[ScaleModel]] = _discover()
"""All scale models by kind, the reference first."""
