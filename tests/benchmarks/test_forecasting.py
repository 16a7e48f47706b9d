"""What training costs at scale, and one boosting beside mlforecast's.

Scaled down by default; ``WEEKAHEAD_BENCH_FULL=1`` takes 500 symbols over 5 years (625,000 rows).
mlforecast pins older libraries, so it runs in an environment of its own, which uv makes.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

from lakehouse.forecasting.out_of_sample import OutOfSample
from lakehouse.forecasting.scales import REFERENCE
from lakehouse.forecasting.scales.scale import WINDOWS
from lakehouse.panel.dataset import Dataset, unique_dates
from lakehouse.platform import Platform
from lakehouse.settings.forecast import ForecastSettings

FULL = os.environ.get("WEEKAHEAD_BENCH_FULL") == "1"
SYMBOLS = 500 if FULL else 50
DAYS = 1250
FEATURES = 30
TRAINING_SECONDS = 600
MEMORY_GIB = 4.0
# Both sides: rows after a symbol's first 60 bars, 30 features, five direct horizons, 30 trees of
# 8 leaves, on one thread, whose CPU time counts: other processes then disturb less.
MLFORECAST = """
import json, sys, time
import pandas as pd
from mlforecast import MLForecast
from mlforecast.lag_transforms import RollingMean, RollingStd
from sklearn.ensemble import HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits

frame = pd.read_parquet(sys.argv[1])
rows = len(frame)
with threadpool_limits(1):
    started = time.process_time()
    model = HistGradientBoostingRegressor(learning_rate=0.1, max_iter=30, max_leaf_nodes=8,
        min_samples_leaf=rows // 100, l2_regularization=1.0, early_stopping=False, random_state=0)
    transforms = {1: [t(w) for w in (3, 5, 10, 15, 21, 42, 60) for t in (RollingMean, RollingStd)]}
    found = MLForecast(models=[model], freq="B", lags=list(range(1, 17)), lag_transforms=transforms)
    found.fit(frame, max_horizon=5)
    forecasts = found.predict(5)
    seconds = time.process_time() - started
print(json.dumps({"seconds": seconds, "forecasts": len(forecasts)}))
"""


def made_up(symbols: int, days: int) -> Dataset:
    """Random walks with as many features as the warehouse makes; built fast, not meaningful."""
    random = np.random.default_rng(0)
    returns = random.standard_t(5, (days, symbols)) * random.uniform(0.01, 0.03, symbols)
    log = returns.cumsum(axis=0)
    dates = pd.bdate_range("2019-01-01", periods=days).to_numpy()
    shape = (days * symbols,)
    frame = pd.DataFrame(
        {
            "source": "test",
            "symbol": np.tile([f"S{number:03d}" for number in range(symbols)], days),
            "trade_date": np.repeat(dates, symbols),
            "close": 100 * np.exp(log).reshape(shape),
            "bar_number": np.repeat(np.arange(1, days + 1), symbols),
            "volatility_21": pd.DataFrame(returns).rolling(21).std().to_numpy().reshape(shape),
        }
    )
    for window in range(1, FEATURES):
        lagged = np.full_like(log, np.nan)
        lagged[window:] = log[window:] - log[:-window]
        frame[f"ret_{window}"] = lagged.reshape(shape)
    for window in WINDOWS:
        variance = pd.DataFrame(returns**2).rolling(window).mean()
        frame[f"log_variance_{window}"] = np.log(variance).to_numpy().reshape(shape)
        if window <= 21:
            market = np.log(variance).mean(axis=1).to_numpy()
            frame[f"market_log_variance_{window}"] = np.repeat(market, symbols)
    targets = np.full((days, symbols, 5), np.nan)
    variances = np.full((days, symbols, 5), np.nan)
    target_dates = np.full((days, symbols, 5), np.datetime64("NaT"), dtype="datetime64[D]")
    for h in range(1, 6):
        targets[:-h, :, h - 1] = log[h:] - log[:-h]
        target_dates[:-h, :, h - 1] = dates[h:, None].astype("datetime64[D]")
        summed = pd.DataFrame(returns**2).rolling(h).sum().to_numpy()
        variances[:-h, :, h - 1] = summed[h:]
    return Dataset(
        frame,
        targets.reshape(-1, 5),
        target_dates.reshape(-1, 5),
        variances.reshape(-1, 5),
    )


@contextmanager
def timed(
    results: dict[str, float], name: str, clock: Callable[[], float] = time.perf_counter
) -> Iterator[None]:
    started = clock()
    yield
    results[name] = clock() - started


def train_all(folder: str, answer: Connection) -> None:
    """Every candidate over every window, in a process of its own so that its memory is its own."""
    from lakehouse.forecasting.development import develop, serving_model

    settings = ForecastSettings()
    seconds: dict[str, float] = {}
    dataset = made_up(SYMBOLS, DAYS)
    with timed(seconds, "seconds"):
        development = develop(dataset, settings, workspace=Path(folder))
        serving_model(
            development,
            development.challenger,
            settings,
            scale=development.band_challenger,
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    answer.send({"rows": len(dataset.frame), "peak_gib": peak} | seconds)


def test_training_all_candidates(tmp_path: Path) -> None:
    here, there = get_context("spawn").Pipe()
    process = get_context("spawn").Process(target=train_all, args=(str(tmp_path), there))
    process.start()
    there.close()
    result = here.recv()
    process.join()
    rate = result["rows"] / result["seconds"]
    print(
        f"\ntraining {result['rows']:,} rows, six point and six scale models, six windows: "
        f"{result['seconds']:.1f} s ({rate:,.0f} rows/s), peak {result['peak_gib']:.2f} GiB"
    )
    assert result["seconds"] < TRAINING_SECONDS
    assert result["peak_gib"] < MEMORY_GIB


def test_boosting_is_no_slower_than_mlforecast(tmp_path: Path) -> None:
    from lakehouse.forecasting import walkforward
    from lakehouse.forecasting.candidates.boosting import ITERATIONS, Boosting

    dataset = made_up(SYMBOLS, DAYS)
    latest = dataset.inputs.tail(SYMBOLS)
    seconds: dict[str, float] = {}
    with timed(seconds, "same", time.process_time), threadpool_limits(1):
        for h in range(5):
            known = np.isfinite(dataset.targets[:, h]) & (dataset.frame.bar_number > 60)
            model = Boosting(horizon=h + 1, iterations=ITERATIONS)
            model.fit(dataset.inputs[known], dataset.targets[known, h])
            assert model.predict(latest).shape == (SYMBOLS,)
    with timed(seconds, "served", time.process_time):
        served = walkforward.fit(dataset, "boosting", dataset.targets, ForecastSettings())
        assert served.predict(latest).shape == (SYMBOLS, 25)

    series = pd.DataFrame(
        {
            "unique_id": dataset.frame["symbol"].astype(object),
            "ds": dataset.frame["trade_date"],
            "y": np.log(dataset.frame["close"]),
        }
    ).sort_values(["unique_id", "ds"], ignore_index=True)
    series.to_parquet(tmp_path / "series.parquet", index=False)
    python = mlforecast_environment()
    (tmp_path / "run.py").write_text(MLFORECAST)
    output = subprocess.run(
        [python, tmp_path / "run.py", tmp_path / "series.parquet"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    theirs = json.loads(output.splitlines()[-1])
    assert theirs["forecasts"] == 5 * SYMBOLS
    print(
        f"\nboosting on {len(series):,} rows, {FEATURES} features, five horizons, CPU seconds: "
        f"ours {seconds['same']:.2f} s, mlforecast {theirs['seconds']:.2f} s (with its features); "
        f"as served, the number of trees being chosen first: {seconds['served']:.2f} s"
    )
    assert seconds["same"] <= theirs["seconds"]


TILES = 40 if FULL else 8
THINNED = ("last_price", "drift", "ridge", "boosting")


def tiled(dataset: Dataset, copies: int) -> Dataset:
    """As many markets as copies: each symbol again under another name, its numbers with noise."""
    random = np.random.default_rng(3)
    frames, targets = [], []
    volatility = dataset.frame["volatility_21"].fillna(0.02).to_numpy()
    for copy in range(copies):
        frame = dataset.frame.copy()
        frame["symbol"] = frame["symbol"].astype(str) + f"-{copy}"
        for name in dataset.features:
            spread = 0.1 * float(np.nanstd(frame[name]))
            noise = random.normal(0, spread, len(frame)) if name != "volatility_21" else 0.0
            frame[name] = frame[name] + noise
        frames.append(frame)
        noise = random.normal(0, 0.3, dataset.targets.shape) * volatility[:, None]
        targets.append(dataset.targets + noise)
    frame = pd.concat(frames, ignore_index=True)
    order = frame.sort_values(["trade_date", "source", "symbol"], kind="stable").index.to_numpy()
    return Dataset(
        frame.iloc[order].reset_index(drop=True),
        np.concatenate(targets)[order],
        np.tile(dataset.target_dates, (copies, 1))[order],
        np.tile(dataset.variances, (copies, 1))[order],
    )


def thinned(dataset: Dataset, step: int) -> Dataset:
    """Every n-th date, as a training run reads them."""
    dates = unique_dates(dataset)
    kept = dataset.select(np.isin(dataset.dates, dates[1::step]))
    frame = kept.frame.reset_index(drop=True)
    return Dataset(frame, kept.targets, kept.target_dates, kept.variances, calendar=dates)


@pytest.mark.timeout(3600)
def test_thinned_dates_cost_neither_error_nor_coverage(pipeline: Platform, tmp_path: Path) -> None:
    """Models that learned from every fifth date beside those of all, on the same rows.

    The rows are those that both have forecast without having seen them, on every fifth date.
    """
    from lakehouse.connections.clickhouse_client import connect
    from lakehouse.forecasting.development import develop
    from lakehouse.models.warehouse_data import read_dataset

    with connect(pipeline.settings) as client:
        sample = read_dataset(client)
    for name, dataset in (("sample", sample), (f"{TILES} times with noise", tiled(sample, TILES))):
        few = thinned(dataset, 5)
        settings = ForecastSettings()
        full, thin = (
            develop(rows, settings, workspace=tmp_path, kinds=THINNED, scales=(REFERENCE,))
            for rows in (dataset, few)
        )
        print(f"\n{name}: {len(dataset.frame):,} rows, {len(few.frame):,} of them thinned")
        for kind in THINNED:
            ratio, covered, width = compared(dataset, full.results[kind], few, thin.results[kind])
            print(
                f"  {kind:<12} error {ratio:.4f} of that of all dates; 80 % band covers "
                f"{covered[0]:.1%} (all: {covered[1]:.1%}), {width:.3f} as wide"
            )
            assert ratio < 1.005
            assert abs(covered[0] - covered[1]) < 0.02


def compared(
    dataset: Dataset, full: OutOfSample, few: Dataset, thin: OutOfSample
) -> tuple[float, tuple[float, float], float]:
    """Thin over full: error, coverage of each, width; where both have calibrated bands."""
    days = dataset.dates[full.rows]
    common = np.isin(days, few.dates[thin.rows])
    mine, theirs = thin.rows, full.rows[common]
    assert (few.dates[mine] == dataset.dates[theirs]).all()
    actual = few.targets[mine]
    known = np.isfinite(actual) & np.isfinite(thin.bounds).all(axis=2)
    known &= np.isfinite(full.bounds[common]).all(axis=2)
    errors, inside, widths = [], [], []
    for result, rows in ((thin, slice(None)), (full, common)):
        forecast, scale = result.returns[rows], result.scales[rows]
        bounds = result.bounds[rows]
        low, high = (forecast + scale * bounds[:, :, tail] for tail in (1, 2))
        errors.append(np.abs(actual - forecast)[known].mean())
        inside.append(float(((actual >= low) & (actual <= high))[known].mean()))
        widths.append((high - low)[known].mean())
    return errors[0] / errors[1], (inside[0], inside[1]), widths[0] / widths[1]


def mlforecast_environment() -> Path:
    """A Python that has mlforecast; made at the first use."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "weekahead"
    python = cache / "mlforecast-1.1" / "bin" / "python"
    if not python.exists():
        import sklearn

        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        target = python.parent.parent
        # `uv run`, and so `make bench`, names itself there; it need not be on the path.
        uv = os.environ.get("UV", "uv")
        packages = ["mlforecast==1.1.0", f"scikit-learn=={sklearn.__version__}", "pyarrow"]
        subprocess.run([uv, "venv", "--quiet", "--python", version, target], check=True)
        subprocess.run([uv, "pip", "install", "-q", "-p", python, *packages], check=True)
    return python
