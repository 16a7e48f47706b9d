"""Which rows of the features a training looks at, when there are more than it needs.

Labels of neighbouring dates overlap: the five-day return of a Monday and of the Tuesday after it
share four days, and symbols of one day move together. A history that is larger than the budget
is therefore thinned by dates first, down to every fifth, and only then by rows, evenly over all
symbols and dates. A history within the budget is used as it is.
"""

import json
from dataclasses import asdict, dataclass
from typing import Self

import numpy as np

from lakehouse.panel.dataset import HORIZONS

# Shares are counted in millionths, so that they are whole numbers in SQL, too.
PARTS = 1_000_000


@dataclass(frozen=True)
class Sampling:
    """A choice of rows that depends on nothing but what is written here.

    Attributes:
        step: Every so many trading dates one is used.
        offset: Number of the first one, from 0 to ``step - 1``.
        parts: Rows of these dates that are used, in millionths.
        seed: Decides which.
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
        """For the record of a training."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, recorded: str | None) -> Self:
        """As recorded; trainings without a record used everything."""
        return cls(**json.loads(recorded)) if recorded else cls()


def choose(rows: int, dates: int, *, budget: int, seed: int) -> Sampling:
    """The mildest thinning that keeps about as many rows as the budget names.

    Args:
        rows: How many there are.
        dates: Trading dates among them; a longer history draws another first date.
        budget: How many to use.
        seed: Of everything random in training.
    """
    if rows <= budget:
        return Sampling()
    step = min(-(-rows // budget), HORIZONS)
    offset = int(np.random.default_rng([seed, dates]).integers(step))
    return Sampling(step, offset, min(PARTS, budget * step * PARTS // rows), seed)
