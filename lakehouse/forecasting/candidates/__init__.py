"""The candidates: every module in this folder that defines a ``Candidate`` with a ``kind``.

To add one, add a file: it is found, validated, gated and served like the others.
"""

from importlib import import_module
from pkgutil import iter_modules

from lakehouse.forecasting.candidates.candidate import Candidate

BASELINES = ("last_price", "drift")


def _discover() -> dict[str, type[Candidate]]:
    found: dict[str, type[Candidate]] = {}
    for name in sorted(module.name for module in iter_modules(__path__)):
        module = import_module(f"{__name__}.{name}")
        for value in vars(module).values():
            ours = isinstance(value, type) and value.__module__ == module.__name__
            if ours and issubclass(value, Candidate) and "kind" in vars(value):
                found[value.kind] = value
    return {name: found.pop(name) for name in BASELINES} | dict(sorted(found.items()))


CANDIDATES: dict[str, type[Candidate]] = _discover()
