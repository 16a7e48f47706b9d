"""Chooses which rows of the features a training uses, if there are more than it needs.

Labels of neighbouring dates overlap: the five-day returns from a Monday and from the next day share
four days, and symbols move together within a day. So a history above the budget is first thinned by
dates, down to every fifth, and only then by rows, evenly over all symbols and dates. A history
within the budget is used as it is.
"""

import json
from dataclasses import asdict, dataclass
from typing import Self

import numpy as np

from lakehouse.panel.dataset import HORIZONS

# Shares are counted in millionths, so that they are integers in SQL too.
PARTS = 1_000_000


@dataclass(frozen=True)
class Sampling:
    """A reproducible choice of rows; depends only on these numbers.

    Attributes:
        step: Every ``step``-th trading date is used.
        offset: Index of the first date used, from 0 to ``step - 1``.
        parts: Share of the rows of these dates that is used, in millionths.
        seed: Determines which rows.
    """

    step: int = 1
    offset: int = 0
    parts: int = PARTS
    seed: int = 0

    @property
    def is_everything(self) -> bool:
        """Whether no row is left out."""
        return self.step == 1 and self.parts == PARTS

    def to_json(self) -> str:
        """JSON for the record of a training."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, recorded: str | None) -> Self:
        """Parse the record of a training; without a record, everything was used."""
        return cls(**json.loads(recorded)) if recorded else cls()


def choose(rows: int, dates: int, *, budget: int, seed: int) -> Sampling:
    """The mildest thinning that keeps about as many rows as the budget allows.

    Args:
        rows: Number of rows available.
        dates: Number of trading dates among them; also varies the first date used.
        budget: Number of rows to use.
        seed: Seed of the training.

    Returns:
        The sampling; everything if the rows fit the budget.
    """
    if rows <= budget:
        return Sampling()
    step = min(-(-rows // budget), HORIZONS)
    offset = int(np.random.default_rng([seed, dates]).integers(step))
    return Sampling(step, offset, min(PARTS, budget * step * PARTS // rows), seed)
