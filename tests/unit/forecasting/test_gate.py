from datetime import date

import numpy as np
import pytest

from lakehouse.forecasting.criterion import criterion
from lakehouse.forecasting.development import develop
from lakehouse.forecasting.gate import BAND, Champion, Verdict, decide, loss
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


def band_losses(**factors: float) -> dict[str, np.ndarray]:
    """Pinball losses per date relative to the 21-day deviation."""
    return {
        scale: BASE * factor + np.random.default_rng(len(scale)).normal(0, 0.01, 250)
        for scale, factor in ({"deviation": 1.0} | factors).items()
    }


def test_band_that_beats_the_deviation_serves_and_one_that_does_not_is_refused() -> None:
    good = decide("har", band_losses(har=0.96), None, None, 0, SETTINGS, BAND)
    assert (good.action, good.serves) == ("first", "har")
    poor = decide("har", band_losses(har=0.9995), None, None, 0, SETTINGS, BAND)
    assert (poor.action, poor.serves) == ("first", "deviation")
    assert "nothing beats deviation" in poor.reason


def test_band_has_to_beat_the_champions_band() -> None:
    found = band_losses(har=0.96, mean=0.95)
    old = Champion("3", "drift", date(2024, 1, 1), None, scale="mean")
    decision = decide("har", found, old, found["mean"], 10, SETTINGS, BAND)
    assert (decision.action, decision.serves) == ("keep", "mean")
    old = Champion("3", "drift", date(2024, 1, 1), None, scale="har")
    decision = decide("mean", found, old, found["har"], 10, SETTINGS, BAND)
    assert (decision.action, decision.serves) == ("promote", "mean")


def test_many_challengers_make_luck_likelier_and_the_gate_stricter() -> None:
    """A p-value that passes alone fails among many that were tried in vain."""
    random = np.random.default_rng(0)
    found = losses()
    found["ridge"] = found["drift"] - 0.0103 * BASE.mean() + random.normal(0, 0.25, 250)
    alone = decide("ridge", found, None, None, 0, SETTINGS)
    assert alone.serves == "ridge"
    for number in range(20):
        found[f"tried_{number}"] = found["drift"] + random.normal(0, 0.25, 250)
    among = decide("ridge", found, None, None, 0, SETTINGS)
    assert among.serves == "drift"
    for before, after in zip(alone.comparisons, among.comparisons, strict=True):
        assert before.p_value == after.p_value
        assert after.adjusted_p > before.adjusted_p


def test_either_decision_alone_makes_a_new_version() -> None:
    found, bands = losses(ridge=1.1), band_losses(har=0.96)
    now = Champion("3", "drift", date(2024, 1, 1), None)
    keep = decide("ridge", found, now, found["drift"], 10, SETTINGS)
    better = decide("har", bands, now, bands["deviation"], 10, SETTINGS, BAND)
    verdict = Verdict(keep, better)
    assert (verdict.changes, verdict.action) == (True, "promote")
    assert verdict.serves == ("drift", "har")
    assert "bands: har passes" in verdict.reason


def test_criterion_holds_every_number_an_answer_depends_on() -> None:
    one = criterion(SETTINGS, ["drift", "ridge"], ["deviation"])
    assert one.digest == criterion(SETTINGS, ["ridge", "drift"], ["deviation"]).digest
    changes = ({"gate_margin": 0.01}, {"gate_confidence": 0.9}, {"gate_days": 100})
    others = [
        criterion(SETTINGS.model_copy(update=c), ["drift", "ridge"], ["deviation"]) for c in changes
    ]
    others.append(criterion(SETTINGS, ["drift"], ["deviation"]))
    assert len({one.digest, *(other.digest for other in others)}) == 5
