"""Figures of what forecasts would have earned."""

import numpy as np
import pytest

from lakehouse.forecasting.earned import (
    break_even,
    deflated_sharpe,
    earned,
    sharpe,
    sharpe_interval,
)
from lakehouse.report.money import verdict


def test_figures_of_a_known_path() -> None:
    returns = np.array([0.1, -0.5, 0.2, 0.1])
    found = earned(returns, np.array([1.0, 0, 0, 1.0]), [returns])
    wealth = 1.1 * 0.5 * 1.2 * 1.1
    assert found.annual_return == pytest.approx(wealth ** (252 / 4) - 1)
    assert found.drawdown == pytest.approx(0.5)
    assert found.turnover == pytest.approx(126)
    assert found.sharpe_low <= found.sharpe <= found.sharpe_high


def test_interval_of_the_sharpe_ratio_covers_the_truth() -> None:
    """Of independent normal returns the bootstrap's 95 % is 95 %, more or less."""
    random = np.random.default_rng(0)
    truth = 0.05 * np.sqrt(252)
    inside = []
    for _ in range(40):
        low, high = sharpe_interval(0.01 * random.standard_normal(500) + 0.0005, seed=1)
        inside.append(low <= truth <= high)
    assert 0.85 <= np.mean(inside) <= 1


def test_dependence_widens_the_interval() -> None:
    random = np.random.default_rng(2)
    shocks = random.standard_normal(1500)
    smooth = np.convolve(shocks, np.ones(5) / 5, mode="valid") * 0.01
    mixed = random.permutation(smooth)
    widths = [np.diff(sharpe_interval(returns, seed=3))[0] for returns in (smooth, mixed)]
    assert widths[0] > 1.4 * widths[1]


def test_the_best_of_many_duds_is_called_luck() -> None:
    random = np.random.default_rng(4)
    duds = [0.01 * random.standard_normal(500) for _ in range(30)]
    best = max(duds, key=sharpe)
    alone = deflated_sharpe(best, [sharpe(best)])
    among = deflated_sharpe(best, [sharpe(dud) for dud in duds])
    assert alone > 0.95
    assert among < 0.9
    skilled = 0.01 * random.standard_normal(1500) + 0.002
    assert deflated_sharpe(skilled, [*(sharpe(dud) for dud in duds), sharpe(skilled)]) > 0.95
    assert deflated_sharpe(np.zeros(100), [0.0]) == 0.0


def test_break_even_hit_rate() -> None:
    assert break_even(0.001, np.full(10, 0.014)) == pytest.approx(0.5357, abs=1e-4)
    assert break_even(0.0, np.full(10, 0.014)) == 0.5


def test_the_sentence_is_honest_about_luck_and_about_skill() -> None:
    random = np.random.default_rng(5)
    poor = 0.01 * random.standard_normal(500)
    rich = 0.01 * random.standard_normal(1500) + 0.003
    nothing = np.zeros(1500)
    said = [
        verdict({("weekly", "top"): earned(own, nothing[: len(own)], [own])}, 10)
        for own in (poor, rich)
    ]
    assert said[0].startswith("No strategy")
    assert said[1].startswith("One strategy")
    assert "basis points" in said[0]


def test_an_index_stands_beside_what_follows_the_forecasts() -> None:
    days = 0.001 + 0.01 * np.random.default_rng(0).standard_normal(252)
    figures = {
        ("weekly", name): earned(days * share, days * 0, [days])
        for name, share in (("top", 1.0), ("market", 0.5), ("index", 2.0))
    }
    index = f"the index's {figures['weekly', 'index'].annual_return:+.1%}"
    assert index in verdict(figures, 10)
    del figures["weekly", "index"]
    assert "index" not in verdict(figures, 10)
