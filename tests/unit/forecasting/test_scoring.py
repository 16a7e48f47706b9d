import numpy as np
import pandas as pd
import pytest

from lakehouse.models.feature_drift import measure
from lakehouse.models.reproduce import compare
from lakehouse.models.scoring import Performance, ScoreReport, outside_limits
from lakehouse.settings.forecast import ForecastSettings

SETTINGS = ForecastSettings()


def performance(**changes: object) -> Performance:
    usual = {
        "version": "3", "simulated": False, "horizon": 5, "dates": 100, "forecasts": 500,
        "relative_mae_last_price": 0.998, "relative_mae_drift": 1.0,
        "coverage_80": 0.8, "coverage_95": 0.95, "hit_rate": 0.52, "up_share": 0.53,
    }  # fmt: skip
    return Performance(**(usual | changes))  # type: ignore[arg-type]


def test_within_the_limits_there_is_no_warning() -> None:
    assert (
        outside_limits((performance(), performance(coverage_80=0.75, coverage_95=0.90)), SETTINGS)
        == ()
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"coverage_80": 0.7}, "80% interval covers 70.0%"),
        ({"coverage_95": 0.88}, "95% interval covers 88.0%"),
        ({"relative_mae_last_price": 1.05}, "error is 1.050 of the last price's"),
    ],
)
def test_outside_the_limits_there_is_one(changes: dict[str, object], words: str) -> None:
    (warning,) = outside_limits((performance(**changes),), SETTINGS)
    assert words in warning
    assert "v3, 5 days ahead" in warning


def test_few_dates_are_not_outside_limitsd() -> None:
    assert outside_limits((performance(dates=39, coverage_80=0.1),), SETTINGS) == ()


@pytest.mark.parametrize(("strict", "code"), [(True, 1), (False, 0)])
def test_strict_turns_warnings_into_a_failure(strict: bool, code: int) -> None:
    report = ScoreReport(0, (), (), (), ("something",), strict, 0.0)
    assert report.exit_code == code


def test_a_shifted_feature_drifts_and_the_others_do_not() -> None:
    random = np.random.default_rng(0)
    then = pd.DataFrame(random.normal(size=(2000, 3)), columns=["a", "b", "month"])
    now = pd.DataFrame(random.normal([0, 2, 5], size=(300, 3)), columns=["a", "b", "month"])
    rows = {row["feature"]: row for row in measure(then, now, SETTINGS)}
    assert set(rows) == {"a", "b"}
    assert rows["b"]["drifted"] and not rows["a"]["drifted"]
    assert rows["b"]["reference_rows"] == 2000


def test_figures_are_compared_to_the_last_digit() -> None:
    assert compare({"mae": 0.1}, {"mae": 0.1}) == ()
    next_to_it = float(np.nextafter(0.1, 1))
    assert compare({"mae": 0.1}, {"mae": next_to_it}) == ("mae: 0.1 then, 0.10000000000000002 now",)
    assert compare({"mae": 0.1}, {}) == ("mae: 0.1 then, None now",)
