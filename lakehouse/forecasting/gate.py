"""The registry's gate: who may serve.

A challenger becomes champion only if, on a window that neither has seen, it beats the champion
and both baselines by a margin and with a confidence. Without a champion, and when nothing beats
it, the drift serves.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal

import numpy as np

from lakehouse.forecasting.candidates import BASELINES
from lakehouse.forecasting.metrics import diebold_mariano, per_date
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


@dataclass(frozen=True)
class Comparison:
    """A challenger against one other, on the gate's window.

    Attributes:
        against: ``last_price``, ``drift`` or ``champion``.
        relative_mae: Error over the other's error; below 1 is better.
        p_value: One-sided Diebold-Mariano p-value; small when better.
        passed: Better by the margin and with the confidence.
    """

    against: str
    relative_mae: float
    p_value: float
    passed: bool


@dataclass(frozen=True)
class Decision:
    """The gate's decision.

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
) -> Decision:
    """Let the challenger, and then the drift, try to replace the champion.

    Args:
        challenger: The candidate that did best in the folds before the gate.
        losses: Loss per date of the gate's window, by candidate.
        champion: What serves now.
        champion_loss: Its loss on the same window; None when it cannot be compared.
        new_days: Trading days since the champion's training data ended.
        settings: Margin, confidence, refresh.
    """
    comparisons = compare(challenger, losses, champion_loss, settings)
    passed = all(comparison.passed for comparison in comparisons)
    told = _tell(challenger, comparisons, settings)
    if champion is None:
        if passed and challenger not in BASELINES:
            return Decision("first", challenger, challenger, f"{told}; it serves", comparisons)
        reason = f"{told}; nothing beats drift, so drift serves"
        if challenger == DEFAULT:
            reason = "drift did best in the folds, so drift serves"
        return Decision("first", challenger, DEFAULT, reason, comparisons)
    if champion_loss is None:
        told += f"; champion v{champion.version} cannot be compared: {champion.problem}"
    if passed and challenger != champion.kind:
        return Decision("promote", challenger, challenger, f"{told}; it serves", comparisons)
    if passed:
        return Decision("promote", challenger, challenger, f"{told}; its refit serves", comparisons)
    if champion.kind != DEFAULT and champion_loss is not None:
        drift = _against(CHAMPION, losses[DEFAULT], champion_loss, settings)
        if drift.passed:
            reason = f"{told}; drift now beats the champion {_numbers(drift)}, so drift serves"
            return Decision("promote", DEFAULT, DEFAULT, reason, (drift,))
    if champion_loss is None and champion.kind not in losses:
        reason = f"{told}; the champion's candidate is gone, so drift serves"
        return Decision("promote", challenger, DEFAULT, reason, comparisons)
    if champion.broken:
        reason = f"{told}; its recipe ({champion.kind}) is fitted anew"
        return Decision("refresh", challenger, champion.kind, reason, comparisons)
    if settings.refresh_days and new_days >= settings.refresh_days:
        reason = f"{told}; champion v{champion.version} ({champion.kind}) is {new_days} trading "
        reason += "days old: its recipe is fitted anew"
        return Decision("refresh", challenger, champion.kind, reason, comparisons)
    reason = f"{told}; champion v{champion.version} ({champion.kind}) stays"
    return Decision("keep", challenger, champion.kind, reason, comparisons)


def compare(
    challenger: str,
    losses: Mapping[str, Floats],
    champion_loss: Floats | None,
    settings: ForecastSettings,
) -> tuple[Comparison, ...]:
    """The challenger against the champion and the baselines, but not against itself."""
    own = losses[challenger]
    others = {name: losses[name] for name in BASELINES if name != challenger}
    if challenger in BASELINES and champion_loss is not None:
        # A baseline has to beat what serves, not the other baseline.
        others = {}
    if champion_loss is not None:
        others[CHAMPION] = champion_loss
    return tuple(_against(name, own, other, settings) for name, other in others.items())


def _against(name: str, own: Floats, other: Floats, settings: ForecastSettings) -> Comparison:
    relative = float(own.mean() / other.mean()) if other.mean() else 1.0
    _, p_value = diebold_mariano(other - own, HORIZONS)
    passed = relative <= 1 - settings.gate_margin and p_value <= 1 - settings.gate_confidence
    return Comparison(name, relative, p_value, passed)


def _tell(challenger: str, comparisons: tuple[Comparison, ...], settings: ForecastSettings) -> str:
    need = f"needs ≤ {1 - settings.gate_margin:.4f} with p ≤ {1 - settings.gate_confidence:.3g}"
    parts = [f"{_numbers(comparison)} against {comparison.against}" for comparison in comparisons]
    verdict = "passes" if all(comparison.passed for comparison in comparisons) else "fails"
    return f"{challenger} {verdict}: relative error {', '.join(parts)} ({need})"


def _numbers(comparison: Comparison) -> str:
    return f"{comparison.relative_mae:.4f} (p {comparison.p_value:.3f})"
