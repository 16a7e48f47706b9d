"""The gate: decides which model serves.

Point and band are decided separately by the same rules. A challenger becomes champion only if it
beats the champion and the baselines on a window that neither has seen, by a margin and with a
confidence that is corrected for the number of challengers tried. Without a champion, or if nothing
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
    """What the gate needs to know about the serving model.

    Attributes:
        version: Version in the registry.
        kind: Its point model.
        trained_until: Last as-of date of its training rows.
        scale: Its scale model.
        edges: Bounds of its twin for the gate's window, shape (rows, horizons, 4).
        returns: Forecasts of its twin (the same recipe fitted without the gate's window) for that
            window, shape (rows, horizons); None if it cannot be compared.
        problem: Why it cannot be compared.
        broken: Whether the stored model fails with the present code or features.
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
    """A challenger against one opponent, on the gate's window.

    Attributes:
        against: ``last_price``, ``drift`` or ``champion``.
        relative_mae: Challenger's loss over the opponent's; below 1 is better.
        p_value: One-sided Diebold-Mariano p-value; small if the challenger is better.
        passed: Whether it is better by the margin and, after the correction, with confidence.
        adjusted_p: The p-value corrected for all challengers tried (Benjamini & Hochberg 1995).
    """

    against: str
    relative_mae: float
    p_value: float
    passed: bool
    adjusted_p: float = 1.0


@dataclass(frozen=True)
class Question:
    """What the gate decides: where prices go, or how far they may go.

    Attributes:
        name: ``point`` or ``band``.
        default: The candidate that serves while nothing beats it.
        baselines: The candidates a challenger has to beat; includes the default.
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
        challenger: The candidate that was judged.
        serves: The candidate that serves from now on.
        reason: The reason in words, with the numbers.
        comparisons: The challenger against champion and baselines.
    """

    action: Action
    challenger: str
    serves: str
    reason: str
    comparisons: tuple[Comparison, ...]

    @property
    def changes(self) -> bool:
        """Whether a different version will serve."""
        return self.action != "keep"


@dataclass(frozen=True)
class Verdict:
    """Both decisions; one model answers both questions, so either can require a new version.

    Attributes:
        point: The decision on where prices go.
        band: The decision on how far they may go.
    """

    point: Decision
    band: Decision

    @property
    def changes(self) -> bool:
        """Whether a different version will serve."""
        return self.point.changes or self.band.changes

    @property
    def action(self) -> Action:
        """What happens to the serving version."""
        return self.point.action if self.point.changes else self.band.action

    @property
    def challenger(self) -> tuple[str, str]:
        """The point model and the scale model that were judged."""
        return self.point.challenger, self.band.challenger

    @property
    def serves(self) -> tuple[str, str]:
        """The point model and the scale model that serve from now on."""
        return self.point.serves, self.band.serves

    @property
    def reason(self) -> str:
        """Both reasons in one line."""
        return f"{self.point.reason}; bands: {self.band.reason}"


def loss(actual: Floats, forecast: Floats, dates: Dates) -> Floats:
    """One loss per date: absolute error over √horizon, averaged over symbols and horizons.

    Args:
        actual: Log returns, shape (n, horizons); NaN while unknown.
        forecast: Forecast log returns, shape (n, horizons).
        dates: As-of dates, shape (n,).

    Returns:
        Losses in log returns, shape (dates,), in order of the dates.
    """
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
    """Decide whether the challenger, or else the default, replaces the champion.

    Args:
        challenger: The candidate with the smallest loss before the gate.
        losses: Loss per date of the gate's window, by candidate.
        champion: The serving model; None if there is none.
        champion_loss: Its loss per date on the same window; None if it cannot be compared.
        new_days: Trading days since the champion's training data ended.
        settings: Margin, confidence and refresh interval.
        question: Which of the two questions is decided.

    Returns:
        The decision, with the reason in words.
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
        reason = f"{told}; its recipe ({kind}) is refitted"
        return Decision("refresh", challenger, kind, reason, comparisons)
    if settings.refresh_days and new_days >= settings.refresh_days:
        reason = f"{told}; champion v{champion.version} ({kind}) is {new_days} trading "
        reason += "days old: its recipe is refitted"
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
    """Compare the challenger with the champion and the baselines, but not with itself.

    Args:
        challenger: The candidate that is judged.
        losses: Loss per date of the gate's window, by candidate, each of shape (dates,).
        champion_loss: The champion's loss on the same dates; None leaves it out.
        settings: Margin and confidence.
        question: Gives the baselines.

    Returns:
        One comparison per opponent, the champion last; empty without opponents.

    Source: Diebold & Mariano (1995) for the test; Benjamini & Hochberg (1995) for the correction
    over all candidates tried.
    """
    others = {name: losses[name] for name in question.baselines if name != challenger}
    if challenger in question.baselines and champion_loss is not None:
        # A baseline has to beat the champion, not the other baseline.
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
