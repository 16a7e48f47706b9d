"""The registry's gate: who may serve.

Point and band are decided apart, each in the same way. A challenger becomes champion only if, on a
window that neither has seen, it beats the champion and the baselines by a margin and with a
confidence, corrected for how many challengers were tried. Without a champion, and when nothing
beats it, the default serves: the drift, or the 21-day deviation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

import numpy as np
from scipy.stats import false_discovery_control

from lakehouse.forecasting.candidates import BASELINES
from lakehouse.forecasting.metrics import diebold_mariano, per_date
from lakehouse.forecasting.scales import REFERENCE
from lakehouse.panel.dataset import HORIZONS, Dates, Floats
from lakehouse.settings.forecast import ForecastSettings

DEFAULT = "drift"
CHAMPION = "champion"
Action = Literal["first", "promote", "keep", "refresh"]


@dataclass(frozen=True)
class Champion:
    """What the gate has to know of the model that serves.

    Attributes:
        version: Version in the registry.
        kind: The candidate.
        trained_until: Last as-of date of its training rows.
        scale: Its scale model.
        edges: The bounds that its twin gives for that window, like the returns.
        returns: What its twin, fitted without the gate's window, forecasts for that window; None
            when it cannot be compared.
        problem: Why it cannot be compared.
        broken: The stored model does not run with the present code or features.
    """

    version: str
    kind: str
    trained_until: date
    returns: Floats | None
    problem: str = ""
    broken: bool = False
    scale: str = REFERENCE
    edges: Floats | None = None


@dataclass(frozen=True)
class Comparison:
    """A challenger against one other, on the gate's window.

    Attributes:
        against: ``last_price``, ``drift`` or ``champion``.
        relative_mae: Error over the other's error; below 1 is better.
        p_value: One-sided Diebold-Mariano p-value; small when better.
        passed: Better by the margin and, after the correction, with the confidence.
        adjusted_p: The p-value corrected for all challengers that were tried (Benjamini &
            Hochberg 1995).
    """

    against: str
    relative_mae: float
    p_value: float
    passed: bool
    adjusted_p: float = 1.0


@dataclass(frozen=True)
class Question:
    """What the gate is asked: where prices go, or how far they may.

    Attributes:
        name: ``point`` or ``band``.
        default: What serves while nothing beats it.
        baselines: What a challenger has to beat; the default is one of them.
        measure: The loss, in words.
    """

    name: str
    default: str
    baselines: tuple[str, ...]
    measure: str


POINT = Question("point", DEFAULT, BASELINES, "error")
BAND = Question("band", REFERENCE, (REFERENCE,), "pinball loss")


@dataclass(frozen=True)
class Decision:
    """The gate's decision on one question.

    Attributes:
        action: ``first`` (nothing served yet), ``promote``, ``keep`` or ``refresh``.
        challenger: Candidate that was judged.
        serves: Candidate that serves from now on.
        reason: In words, with the numbers.
        comparisons: The challenger against champion and baselines.
    """

    action: Action
    challenger: str
    serves: str
    reason: str
    comparisons: tuple[Comparison, ...]

    @property
    def changes(self) -> bool:
        """Whether another version serves afterwards."""
        return self.action != "keep"


@dataclass(frozen=True)
class Verdict:
    """Both decisions: one model answers both questions, so either one may make a new version.

    Attributes:
        point: Where prices go.
        band: How far they may.
    """

    point: Decision
    band: Decision

    @property
    def changes(self) -> bool:
        """Whether another version serves afterwards."""
        return self.point.changes or self.band.changes

    @property
    def action(self) -> Action:
        """What happens to the version that serves."""
        return self.point.action if self.point.changes else self.band.action

    @property
    def challenger(self) -> tuple[str, str]:
        """The point model and the scale model that were judged."""
        return self.point.challenger, self.band.challenger

    @property
    def serves(self) -> tuple[str, str]:
        """Those that serve from now on."""
        return self.point.serves, self.band.serves

    @property
    def reason(self) -> str:
        """Both reasons."""
        return f"{self.point.reason}; bands: {self.band.reason}"


def loss(actual: Floats, forecast: Floats, dates: Dates) -> Floats:
    """One loss per date: absolute errors over √horizon, averaged over symbols and horizons."""
    errors = np.abs(actual - forecast) / np.sqrt(np.arange(1, actual.shape[1] + 1))
    return per_date(errors.ravel(), np.repeat(dates, actual.shape[1]))


def decide(
    challenger: str,
    losses: Mapping[str, Floats],
    champion: Champion | None,
    champion_loss: Floats | None,
    new_days: int,
    settings: ForecastSettings,
    question: Question = POINT,
) -> Decision:
    """Let the challenger, and then the default, try to replace the champion.

    Args:
        challenger: The candidate that did best in the folds before the gate.
        losses: Loss per date of the gate's window, by candidate.
        champion: What serves now.
        champion_loss: Its loss on the same window; None when it cannot be compared.
        new_days: Trading days since the champion's training data ended.
        settings: Margin, confidence, refresh.
        question: Which of the two is decided.
    """
    comparisons = compare(challenger, losses, champion_loss, settings, question)
    passed = all(comparison.passed for comparison in comparisons)
    told = _tell(challenger, comparisons, settings, question)
    default = question.default
    if champion is None:
        if passed and challenger not in question.baselines:
            return Decision("first", challenger, challenger, f"{told}; it serves", comparisons)
        reason = f"{told}; nothing beats {default}, so {default} serves"
        if challenger == default:
            reason = f"{default} did best in the folds, so {default} serves"
        return Decision("first", challenger, default, reason, comparisons)
    kind = champion.scale if question is BAND else champion.kind
    if champion_loss is None:
        told += f"; champion v{champion.version} cannot be compared: {champion.problem}"
    if passed and comparisons:
        whose = "it serves" if challenger != kind else "its refit serves"
        return Decision("promote", challenger, challenger, f"{told}; {whose}", comparisons)
    if kind != default and champion_loss is not None:
        beats = _against(CHAMPION, losses[default], champion_loss, settings)
        if beats.passed:
            reason = f"{told}; {default} now beats the champion {_numbers(beats)}, so {default} "
            return Decision("promote", default, default, f"{reason}serves", (beats,))
    if champion_loss is None and kind not in losses:
        reason = f"{told}; the champion's candidate is gone, so {default} serves"
        return Decision("promote", challenger, default, reason, comparisons)
    if champion.broken:
        reason = f"{told}; its recipe ({kind}) is fitted anew"
        return Decision("refresh", challenger, kind, reason, comparisons)
    if settings.refresh_days and new_days >= settings.refresh_days:
        reason = f"{told}; champion v{champion.version} ({kind}) is {new_days} trading "
        reason += "days old: its recipe is fitted anew"
        return Decision("refresh", challenger, kind, reason, comparisons)
    reason = f"{told}; champion v{champion.version} ({kind}) stays"
    return Decision("keep", challenger, kind, reason, comparisons)


def compare(
    challenger: str,
    losses: Mapping[str, Floats],
    champion_loss: Floats | None,
    settings: ForecastSettings,
    question: Question = POINT,
) -> tuple[Comparison, ...]:
    """The challenger against the champion and the baselines, but not against itself."""
    others = {name: losses[name] for name in question.baselines if name != challenger}
    if challenger in question.baselines and champion_loss is not None:
        # A baseline has to beat what serves, not the other baseline.
        others = {}
    if champion_loss is not None:
        others[CHAMPION] = champion_loss
    tried = [losses[kind] for kind in losses if kind not in (*question.baselines, challenger)]
    return tuple(
        _against(name, losses[challenger], other, settings, tried) for name, other in others.items()
    )


def _against(
    name: str,
    own: Floats,
    other: Floats,
    settings: ForecastSettings,
    tried: Sequence[Floats] = (),
) -> Comparison:
    relative = float(own.mean() / other.mean()) if other.mean() else 1.0
    p_values = [diebold_mariano(other - losses, HORIZONS)[1] for losses in (own, *tried)]
    adjusted = float(false_discovery_control(p_values, method="bh")[0])
    passed = relative <= 1 - settings.gate_margin and adjusted <= 1 - settings.gate_confidence
    return Comparison(name, relative, p_values[0], passed, adjusted)


def _tell(
    challenger: str,
    comparisons: tuple[Comparison, ...],
    settings: ForecastSettings,
    question: Question,
) -> str:
    need = f"needs ≤ {1 - settings.gate_margin:.4f} with p ≤ {1 - settings.gate_confidence:.3g}"
    parts = [f"{_numbers(comparison)} against {comparison.against}" for comparison in comparisons]
    verdict = "passes" if all(comparison.passed for comparison in comparisons) else "fails"
    return f"{challenger} {verdict}: relative {question.measure} {', '.join(parts)} ({need})"


def _numbers(comparison: Comparison) -> str:
    return f"{comparison.relative_mae:.4f} (p {comparison.adjusted_p:.3f})"
