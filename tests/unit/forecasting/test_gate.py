from datetime import date

import numpy as np
import pytest

from lakehouse.forecasting.development import develop
from lakehouse.forecasting.gate import Champion, decide, loss
from lakehouse.settings.forecast import ForecastSettings

SETTINGS = ForecastSettings(refresh_days=250)
RANDOM = np.random.default_rng(0)
BASE = RANDOM.gamma(4, size=250)


def losses(**factors: float) -> dict[str, np.ndarray]:
    """Losses per date relative to the last price, with a little noise of their own."""
    return {
        kind: BASE * factor + np.random.default_rng(len(kind)).normal(0, 0.01, 250)
        for kind, factor in ({"last_price": 1.0, "drift": 0.999} | factors).items()
    }


def champion(kind: str = "drift") -> Champion:
    return Champion("3", kind, date(2024, 1, 1), returns=None)


def test_first_challenger_that_beats_both_baselines_serves() -> None:
    decision = decide("ridge", losses(ridge=0.9), None, None, 0, SETTINGS)
    assert (decision.action, decision.serves) == ("first", "ridge")
    assert {comparison.against for comparison in decision.comparisons} == {"last_price", "drift"}


@pytest.mark.parametrize("factor", [1.01, 0.9989])
def test_drift_serves_when_nothing_beats_it(factor: float) -> None:
    decision = decide("ridge", losses(ridge=factor), None, None, 0, SETTINGS)
    assert (decision.action, decision.serves) == ("first", "drift")
    assert "nothing beats drift" in decision.reason


def test_better_on_average_but_not_surely_is_not_enough() -> None:
    found = losses()
    found["ridge"] = found["drift"] * 0.99 + np.random.default_rng(1).normal(0, 3, 250)
    found["ridge"] += found["drift"].mean() * 0.99 - found["ridge"].mean()
    decision = decide("ridge", found, None, None, 0, SETTINGS)
    assert decision.serves == "drift"
    assert all(c.relative_mae < 0.995 and not c.passed for c in decision.comparisons)


def test_challenger_has_to_beat_the_champion_too() -> None:
    found = losses(ridge=0.9, boosting=0.85)
    decision = decide("ridge", found, champion("boosting"), found["boosting"], 10, SETTINGS)
    assert (decision.action, decision.serves) == ("keep", "boosting")
    assert "against champion" in decision.reason
    decision = decide("boosting", found, champion("ridge"), found["ridge"], 10, SETTINGS)
    assert (decision.action, decision.serves) == ("promote", "boosting")


def test_champion_that_drift_beats_gives_way() -> None:
    found = losses(ridge=1.2, boosting=1.1)
    decision = decide("boosting", found, champion("ridge"), found["ridge"] * 1.0, 10, SETTINGS)
    assert (decision.action, decision.serves) == ("promote", "drift")


def test_same_recipe_stays_until_a_refresh_is_due() -> None:
    found = losses()
    keep = decide("drift", found, champion(), found["drift"], 249, SETTINGS)
    assert (keep.action, keep.serves, keep.changes) == ("keep", "drift", False)
    refresh = decide("drift", found, champion(), found["drift"], 250, SETTINGS)
    assert (refresh.action, refresh.serves, refresh.changes) == ("refresh", "drift", True)
    never = SETTINGS.model_copy(update={"refresh_days": 0})
    assert decide("drift", found, champion(), found["drift"], 9999, never).action == "keep"


def test_champion_that_cannot_be_compared_is_named() -> None:
    found = losses(ridge=1.1)
    gone = Champion("3", "drift", date(2024, 1, 1), None, "features changed")
    decision = decide("ridge", found, gone, None, 10, SETTINGS)
    assert decision.action == "keep"
    assert "features changed" in decision.reason


def test_champion_that_does_not_run_any_more_is_fitted_anew() -> None:
    found = losses(ridge=1.1)
    broken = Champion("3", "drift", date(2024, 1, 1), None, "other code", broken=True)
    decision = decide("ridge", found, broken, None, 0, SETTINGS)
    assert (decision.action, decision.serves) == ("refresh", "drift")


def test_loss_weighs_horizons_alike() -> None:
    dates = np.array(["2024-01-01", "2024-01-01"], dtype="datetime64[D]")
    actual = np.array([[1.0, np.sqrt(2)], [3.0, np.nan]])
    assert loss(actual, np.zeros((2, 2)), dates).tolist() == pytest.approx([5 / 3])


def test_planted_signal_passes_and_noise_does_not(noise, signal, settings, tmp_path) -> None:
    for dataset, serves in ((signal, True), (noise, False)):
        development = develop(dataset, settings, workspace=tmp_path)
        decision = decide(
            development.challenger, development.gate_losses(), None, None, 0, settings
        )
        assert (decision.serves != "drift") == serves, decision.reason
