"""Bands beside GARCH on the sample, and on 20 US stocks of which only closes are known.

GARCH comes from ``arch`` and the 20 stocks (1990 to 2022) from ``skfolio``, in an environment of
their own, which uv makes: they are measured against, not depended on. A few minutes.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lakehouse.forecasting.band_metrics import evaluate_bands
from lakehouse.forecasting.development import Development, develop
from lakehouse.forecasting.out_of_sample import FoldResult, Walk
from lakehouse.models.warehouse_data import read_dataset
from lakehouse.settings import Settings
from lakehouse.settings.forecast import ForecastSettings
from lakehouse.warehouse.client import connect
from tests.unit.forecasting.conftest import make_dataset

KINDS = ("last_price", "drift")
# For each window: the parameters from returns before its cutoff, then one pass over all returns.
GARCH = """
import json, sys
import numpy as np, pandas as pd
from arch import arch_model

returns = pd.read_parquet(sys.argv[1])
found = []
for window in json.loads(sys.argv[3]):
    for symbol, part in returns.groupby("symbol"):
        series = part.set_index("date")["ret"].dropna() * 100
        known = series[series.index < window["cutoff"]]
        asked = series[(series.index >= window["start"]) & (series.index <= window["end"])]
        if asked.empty or len(known) < 250:
            continue
        for name, o in (("garch", 0), ("gjr", 1)):
            how = dict(mean="Constant", vol="GARCH", p=1, o=o, q=1, dist="t")
            params = arch_model(known, **how).fit(disp="off").params
            model = arch_model(series, **how).fix(params)
            ahead = model.forecast(horizon=5, start=asked.index[0], reindex=False).variance
            scale = np.sqrt(ahead.loc[asked.index].to_numpy().cumsum(axis=1)) / 100
            frame = pd.DataFrame(scale, columns=[f"scale_{h}" for h in range(1, 6)])
            found.append(frame.assign(symbol=symbol, date=asked.index, model=name))
pd.concat(found).to_parquet(sys.argv[2])
"""
STOCKS = """
import sys
from skfolio.datasets import load_sp500_dataset
load_sp500_dataset().to_parquet(sys.argv[1])
"""


@pytest.mark.timeout(1800)
def test_bands_on_the_sample_beat_the_deviation_and_gjr(pipeline: Settings, tmp_path: Path) -> None:
    with connect(pipeline) as warehouse:
        dataset = read_dataset(warehouse)
    development = develop(dataset, ForecastSettings(), workspace=tmp_path, kinds=KINDS)
    scales = dict(development.walk.scales) | garch(development, tmp_path)
    walk = Walk(
        dataset,
        development.walk.points,
        scales,
        development.walk.ages,
        ForecastSettings(),
    )
    table = evaluate_bands(dataset, {scale: walk.pair("drift", scale) for scale in scales})
    relative = shown(table)
    served = relative.loc["mean"]
    assert served[5] <= 0.950
    assert served[1] <= 0.955
    assert (served < relative.loc["gjr"])[[1, 5]].all()
    mine = table[(table.scale == "mean") & (table.horizon.isin([1, 5]))]
    whole = mine[mine.group == "overall"]
    assert whole.coverage_80.to_numpy() == pytest.approx(0.80, abs=0.03)
    assert whole.coverage_95.to_numpy() == pytest.approx(0.95, abs=0.02)
    terciles = mine[(mine.group == "volatility") & (mine.member != "unknown")]
    assert terciles.coverage_80.to_numpy() == pytest.approx(0.80, abs=0.04)


@pytest.mark.timeout(1800)
def test_bands_from_closes_alone_beat_the_deviation(tmp_path: Path) -> None:
    run(STOCKS, tmp_path / "stocks.parquet")
    closes = pd.read_parquet(tmp_path / "stocks.parquet")
    dataset = make_dataset(closes)
    development = develop(dataset, ForecastSettings(), workspace=tmp_path, kinds=KINDS)
    relative = shown(development.band_table)
    assert relative.loc[development.band_challenger][5] <= 0.970


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """Pinball loss relative to the 21-day deviation, by scale and horizon."""
    overall = table[table.group == "overall"]
    columns = ["pinball_vs_deviation", "dm_vs_deviation", "coverage_80", "coverage_95"]
    print("\n", overall[overall.horizon.isin([1, 5])].set_index(["horizon", "scale"])[columns])
    return overall.pivot(index="scale", columns="horizon", values="pinball_vs_deviation")


def garch(development: Development, folder: Path) -> dict[str, list[FoldResult]]:
    """What GARCH and GJR say of every window, as if they were scale models."""
    dataset = development.dataset
    frame = dataset.frame
    frame[["symbol", "trade_date", "ret_1"]].rename(
        columns={"trade_date": "date", "ret_1": "ret"}
    ).to_parquet(folder / "returns.parquet")
    windows = [
        {
            "cutoff": str(fold.cutoff),
            "start": str(fold.test_start),
            "end": str(fold.test_end),
        }
        for fold in development.folds
    ]
    run(GARCH, folder / "returns.parquet", folder / "scales.parquet", json.dumps(windows))
    said = pd.read_parquet(folder / "scales.parquet")
    found = {}
    for name, part in said.groupby("model"):
        sizes = frame[["symbol", "trade_date"]].merge(
            part.rename(columns={"date": "trade_date"}), on=["symbol", "trade_date"], how="left"
        )
        values = sizes[[f"scale_{h}" for h in range(1, 6)]].to_numpy()
        results = []
        for like in development.walk.scales["deviation"]:
            window = slice(like.start, like.start + len(like.values))
            # A symbol with less than a year of bars has no parameters of its own.
            own = np.where(np.isfinite(values[window]), values[window], like.values)
            results.append(FoldResult("scale", str(name), like.fold, like.start, own, like.model))
        found[str(name)] = results
    return found


def run(script: str, *arguments: object) -> None:
    """Run a script in the other environment; made at the first use."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "weekahead"
    python = cache / "bands-1" / "bin" / "python"
    if not python.exists():
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        # `uv run`, and so `make bench`, names itself there; it need not be on the path.
        uv = os.environ.get("UV", "uv")
        packages = ["arch==8.0.0", "skfolio==1.12.2", "pyarrow"]
        subprocess.run(
            [uv, "venv", "--quiet", "--python", version, python.parent.parent], check=True
        )
        subprocess.run([uv, "pip", "install", "-q", "-p", python, *packages], check=True)
    subprocess.run([python, "-c", script, *map(str, arguments)], check=True)
