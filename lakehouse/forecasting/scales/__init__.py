"""Scale models: how far a price may go, from which intervals are built.

Every module in this folder that defines a ``ScaleModel`` with a ``kind``. To add one, add a file:
it is discovered, validated, gated and served like the others.
"""

from lakehouse.discovery import discover
from lakehouse.forecasting.scales.scale import ScaleModel

# The baseline of the others, which serves while nothing beats it.
REFERENCE = "deviation"

SCALES: dict[str, type[ScaleModel]] = discover(__name__, ScaleModel, (REFERENCE,))
"""All scale models by kind, the reference first."""
