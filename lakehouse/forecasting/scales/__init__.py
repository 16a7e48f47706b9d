"""Scale models: how far a price may go, which is what an interval is made of.

Every module in this folder that defines a ``ScaleModel`` with a ``kind``. To add one, add a file:
it is found, validated, gated and served like the others.
"""

from lakehouse.discovery import discover
from lakehouse.forecasting.scales.scale import ScaleModel

# What every other one is measured by, and what serves while nothing beats it.
REFERENCE = "deviation"

SCALES: dict[str, type[ScaleModel]] = discover(__name__, ScaleModel, (REFERENCE,))
"""All scale models by kind, the reference first."""
