import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import mean_absolute_error, mean_pinball_loss

from lakehouse.forecasting import metrics
from lakehouse.forecasting.development import develop
from lakehouse.panel.dataset import Dataset


def test_pinball_is_scikit_learns() -> None:
    random = np.random.default_rng(0)
    actual, forecast = random.normal(size=100), random.normal(size=(100, 2))
    expected = np.mean(
        [mean_pinball_loss(actual, forecast[:, i], alpha=a) for i, a in enumerate((0.1, 0.9))]
    )
    assert metrics.pinball(actual, forecast, (0.1, 0.9)).mean() == pytest.approx(expected)


def test_rank_correlation_is_scipys_with_ties() -> None:
    random = np.random.default_rng(0)
    forecast, actual = random.integers(0, 5, 60).astype(float), random.normal(size=60)
    dates = np.repeat(np.arange(6).astype("datetime64[D]"), 10)
    expected = [
        stats.spearmanr(forecast[d : d + 10], actual[d : d + 10])[0] for d in range(0, 60, 10)
    ]
    np.testing.assert_allclose(metrics.rank_correlations(forecast, actual, dates), expected)


def test_dates_without_ranks_are_left_out() -> None:
    dates = np.repeat(np.arange(2).astype("datetime64[D]"), 3)
    found = metrics.rank_correlations(np.array([1, 1, 1, 1, 2, 3.0]), np.arange(6.0), dates)
    assert found.tolist() == [1.0]


def test_diebold_mariano_one_step_is_the_t_test() -> None:
    gain = np.random.default_rng(3).normal(0.1, 1, 200)
    statistic, p_value = metrics.diebold_mariano(gain, 1)
    expected = stats.ttest_1samp(gain, 0, alternative="greater")
    assert statistic == pytest.approx(expected.statistic)
    assert p_value == pytest.approx(expected.pvalue)


def test_diebold_mariano_holds_its_size_on_overlapping_gains() -> None:
    random = np.random.default_rng(4)
    rejected = []
    for _ in range(400):
        gain = np.convolve(random.normal(size=304), np.ones(5), "valid")
        rejected.append(metrics.diebold_mariano(gain, 5)[1] < 0.05)
    assert 0.02 < np.mean(rejected) < 0.10


@pytest.mark.parametrize("horizon", [1, 5])
def test_interval_of_a_mean_holds_its_level_on_overlapping_values(horizon: int) -> None:
    random = np.random.default_rng(6)
    inside = []
    for _ in range(400):
        shocks = random.normal(size=499 + horizon)
        low, high = metrics.mean_interval(np.convolve(shocks, np.ones(horizon), "valid"), horizon)
        inside.append(low < 0 < high)
    assert 0.91 < np.mean(inside) < 0.98


def test_equal_forecasts_are_not_significant() -> None:
    assert metrics.diebold_mariano(np.zeros(100), 5) == (0.0, 1.0)


def test_per_date_averages_known_values() -> None:
    dates = np.array([1, 1, 2, 3], dtype="datetime64[D]")
    assert metrics.per_date(np.array([1.0, 3.0, np.nan, 5.0]), dates).tolist() == [2.0, 5.0]


def test_terciles() -> None:
    assert metrics.terciles(np.array([1.0, 2.0, 3.0, np.nan])).tolist() == [0, 1, 2, -1]


def test_table_agrees_with_scikit_learn_and_with_its_groups(noise, settings, tmp_path) -> None:
    kinds = ("last_price", "drift", "ridge")
    development = develop(noise, settings, workspace=tmp_path, kinds=kinds)
    table, result = development.table, development.results["ridge"]
    actual = noise.targets[result.rows, 4]
    known = np.isfinite(actual)
    mine = table[(table.candidate == "ridge") & (table.horizon == 5)]
    overall = mine[mine.group == "overall"].iloc[0]
    assert overall.mae == pytest.approx(
        mean_absolute_error(actual[known], result.returns[known, 4])
    )
    for group in ("fold", "volatility", "year", "symbol"):
        parts = mine[mine.group == group]
        assert parts.n.sum() == overall.n
        assert np.average(parts.mae, weights=parts.n) == pytest.approx(overall.mae)
    assert overall.hit_low < overall.hit_rate < overall.hit_high
    last = table[(table.candidate == "last_price") & (table.group == "overall")]
    assert (last.mae_vs_last_price == 1).all()


def test_skill_that_is_there_is_found(signal: Dataset, settings, tmp_path) -> None:
    kinds = ("last_price", "drift", "ridge")
    table = develop(signal, settings, workspace=tmp_path, kinds=kinds).table
    ridge = table[(table.candidate == "ridge") & (table.group == "overall")].iloc[0]
    assert ridge.mae_vs_drift < 0.9
    assert ridge.p_vs_drift < 0.001
    assert ridge.rank_ic > 0.3
    assert 0 < ridge.rank_ic_low < ridge.rank_ic < ridge.rank_ic_high
    assert ridge.hit_low > ridge.always_up


def test_every_group_is_complete_and_has_every_metric(noise, settings, tmp_path) -> None:
    kinds = ("last_price", "drift", "ridge")
    table = develop(noise, settings, workspace=tmp_path, kinds=kinds).table
    ridge = table[(table.candidate == "ridge") & (table.horizon == 5)]
    (whole,) = ridge[ridge.group == "overall"].n
    assert set(ridge.group) == {"overall", "fold", "volatility", "age", "source", "year", "symbol"}
    for group, rows in ridge.groupby("group"):
        assert rows.n.sum() == whole, group
        calibrated = rows[rows.n_intervals.notna()]
        ranks = {"rank_ic", "rank_ic_low", "rank_ic_high", "rank_icir"}
        without_ranks = ranks if group == "symbol" else set()
        missing = set(calibrated.columns[calibrated.isna().any()])
        assert missing == without_ranks, group
        assert (rows.hit_low <= rows.hit_rate).all() and (rows.hit_rate <= rows.hit_high).all()
        assert np.average(rows.hit_rate, weights=rows.n) == pytest.approx(
            ridge[ridge.group == "overall"].hit_rate.item(), abs=1e-3
        )
