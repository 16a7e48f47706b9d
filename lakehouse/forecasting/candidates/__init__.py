"""The candidates: every module in this folder that defines a ``Candidate`` with a ``kind``.

To add one, add a file: it is discovered, validated, gated and served like the others.
"""

from lakehouse.discovery import discover
from lakehouse.forecasting.candidates.candidate import Candidate

BASELINES = ("last_price", "drift")

CANDIDATES: dict[str, type[Candidate]] = discover(__name__, Candidate, BASELINES)
