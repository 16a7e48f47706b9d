import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.forecasting.intervals import LEAST_SCORES, NORMAL, bounds, bounds_by_horizon


@given(st.integers(0, 10_000), st.integers(LEAST_SCORES, 1000))
def test_levels_are_nested_around_the_point(seed: int, count: int) -> None:
    found = bounds(np.random.default_rng(seed).standard_t(3, count))
    assert found[0] <= found[1] <= 0 <= found[2] <= found[3]


def test_coverage_on_unseen_scores() -> None:
    random = np.random.default_rng(1)
    inside = []
    for _ in range(200):
        found = bounds(random.gamma(2, size=500) - 1)
        fresh = random.gamma(2, size=500) - 1
        inside.append(
            [
                np.mean((fresh >= found[low]) & (fresh <= found[high]))
                for low, high in ((1, 2), (0, 3))
            ]
        )
    assert np.mean(inside, axis=0) == pytest.approx([0.80, 0.95], abs=0.01)


def test_finite_sample_quantile() -> None:
    # Of 199 scores the 95 % interval leaves ⌊200 · 0.025⌋ = 5 on each side, the bound included.
    scores = np.arange(-99.0, 100.0)
    np.testing.assert_array_equal(bounds(scores), [-95.0, -80.0, 80.0, 95.0])


def test_few_scores_fall_back_to_the_normal_distribution() -> None:
    np.testing.assert_array_equal(bounds(np.zeros(LEAST_SCORES - 1)), NORMAL)


def test_unknown_outcomes_are_left_out() -> None:
    scores = np.random.default_rng(0).normal(size=(500, 2))
    gaps = np.concatenate([scores, np.full((50, 2), np.nan)])
    np.testing.assert_array_equal(bounds_by_horizon(gaps), bounds_by_horizon(scores))
