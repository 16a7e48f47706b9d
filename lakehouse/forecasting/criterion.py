"""The gate's criterion, written down before anything is evaluated.

A criterion chosen after the figures are known always finds a winner. So its text is stored, with
its hash and the time, before the walk-forward begins, and each decision names the hash it was based
on.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

from lakehouse.forecasting.gate import BAND, POINT, Question
from lakehouse.settings.forecast import ForecastSettings


@dataclass(frozen=True)
class Criterion:
    """The gate's two questions, with every number that the answers depend on.

    Attributes:
        text: JSON with sorted keys.
    """

    text: str

    @property
    def digest(self) -> str:
        """SHA-256 of the text."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def criterion(
    settings: ForecastSettings, points: Iterable[str], scales: Iterable[str]
) -> Criterion:
    """The criterion of a training run.

    Args:
        settings: Margins, confidence, folds and windows.
        points: Kinds of the point models.
        scales: Kinds of the scale models.

    Returns:
        The same text for the same arguments; the order of the kinds does not matter.
    """
    return Criterion(
        json.dumps(
            {
                "questions": [
                    _question(
                        POINT,
                        points,
                        settings,
                        loss="absolute error of the log return over sqrt(horizon), mean per date",
                    ),
                    _question(
                        BAND,
                        scales,
                        settings,
                        loss="pinball loss of the 2.5, 10, 90 and 97.5 % bounds over "
                        "sqrt(horizon), mean per date",
                    ),
                ],
                "window": f"the last {settings.gate_days} as-of dates, on which nothing is chosen",
                "challenger": "the candidate with the smallest loss in the folds before",
                "folds": settings.folds,
                "embargo_days": settings.embargo_days,
                "refresh_days": settings.refresh_days,
            },
            sort_keys=True,
            indent=1,
        )
    )


def _question(
    question: Question, candidates: Iterable[str], settings: ForecastSettings, *, loss: str
) -> dict[str, object]:
    return {
        "question": question.name,
        "loss": loss,
        "must_beat": [*question.baselines, "champion"],
        "serves_otherwise": question.default,
        "candidates": sorted(candidates),
        "least_improvement": settings.gate_margin,
        "test": "Diebold-Mariano with the Harvey-Leybourne-Newbold correction, one-sided",
        "correction": "Benjamini-Hochberg over all candidates that are not baselines",
        "level": round(1 - settings.gate_confidence, 12),
    }
