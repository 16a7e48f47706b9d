"""How fast bars land, and what a daily run and a backfill cost.

Scaled down by default; ``WEEKAHEAD_BENCH_FULL=1`` takes 12.5 M bars and 5,000 symbols.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import date, timedelta
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from catalog.connect import ensure_tables, open_catalog
from deploy.local import LAKE, running
from lakehouse.landing.held import last_dates
from lakehouse.landing.landing import Landing
from lakehouse.landing.quality import Expectation
from lakehouse.platform import Platform
from lakehouse.settings import Settings
from lakehouse.settings.sources import HttpSettings
from lakehouse.sources.http import HttpClient
from lakehouse.sources.reader import QUOTES_SCHEMA, SPLITS_SCHEMA
from lakehouse.sources.sample.exchange import PAGE_ROWS, Bar, Exchange
from lakehouse.sources.sample.replay import serve

FULL = os.environ.get("WEEKAHEAD_BENCH_FULL") == "1"
SYMBOLS = 5_000 if FULL else 500
YEARS = 10
DAYS_A_YEAR = 250
DAYS = 9
RUNS = 5 if FULL else 1
LAST = date(2024, 12, 31)


def trading_days(count: int) -> list[date]:
    """A number of weekdays, 250 of each year's 261, up to the last."""
    days: list[date] = []
    day = LAST
    while len(days) < count:
        if day.weekday() < 5:
            days.append(day)
        day -= timedelta(days=1)
    return days[::-1]


def history(source: str, symbols: int, days: list[date]) -> pa.Table:
    """Random walks of many symbols in steps of 0.01, as prices have them, symbol by symbol."""
    random = np.random.default_rng(7)
    shape = (symbols, len(days))
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.01, shape), axis=1)).ravel().round(2)
    rows = close.size
    volume = random.integers(1, 10**6, rows)
    names = pa.array([f"S{number:05}" for number in range(symbols)])
    columns = {
        "source": pa.repeat(pa.scalar(source), rows),
        "symbol": names.take(pa.array(np.repeat(np.arange(symbols), len(days)))),
        "trade_date": pa.array(np.tile(np.array(days, "datetime64[D]"), symbols)),
        "open": (close * 1.001).round(2),
        "high": (close * 1.01).round(2),
        "low": (close * 0.99).round(2),
        "close": close,
        "volume": volume,
        "value": (close * volume).round(2),
        "currency": pa.repeat(pa.scalar("RUB"), rows),
        "board": pa.repeat(pa.scalar("TQBR"), rows),
        "malformed": pa.nulls(rows, pa.string()),
    }
    return pa.table(columns).cast(QUOTES_SCHEMA)


def land(settings: Settings, rows: pa.Table) -> float:
    """The gate and the merge, as an ingest does it; returns the seconds that the gate took."""
    source = rows.column("source")[0].as_py()
    landing = Landing(open_catalog(settings.catalog, settings.s3), source, load_id=uuid4().hex)
    expected = Expectation(
        start=date(2000, 1, 1),
        end=LAST,
        today=LAST,
        symbols=None,
        splits=SPLITS_SCHEMA.empty_table(),
        jump_limit=0.5,
    )
    started = time.perf_counter()
    verdict = landing.judge(rows, expected, max_reject_share=0.05)
    gate = time.perf_counter() - started
    landing.land_quotes(verdict)
    assert landing.tables["raw.quotes"].new == rows.num_rows
    return gate


def _measure(settings: Settings, source: str, path: Path, pipe: Connection) -> None:
    """Seconds of plain Parquet and of landing, and the peak memory, of a fresh process."""
    days = trading_days(YEARS * DAYS_A_YEAR)
    # What is loaded only once does not belong to either side.
    land(settings, history(f"warm-{source}", 1, days[-5:]))
    rows = history(source, SYMBOLS, days)
    started = time.perf_counter()
    # The lake's codec; the default one takes as long.
    pq.write_table(rows, path, compression="zstd")
    os.sync()
    plain = time.perf_counter() - started
    started = time.perf_counter()
    gate = land(settings, rows)
    os.sync()
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    pipe.send((plain, gate, seconds, peak, rows.num_rows))


def test_landing_is_near_to_writing_parquet(lake: Platform, tmp_path: Path) -> None:
    """The same rows, codec, disk and run: one Parquet file, and the lake by gate and merge."""
    context = get_context("spawn")
    ratios = []
    for number in range(RUNS):
        here, there = context.Pipe()
        path = tmp_path / f"plain-{number}.parquet"
        child = context.Process(
            target=_measure, args=(lake.settings, f"bench-{number}", path, there)
        )
        child.start()
        there.close()
        plain, gate, seconds, peak, rows = here.recv()
        child.join()
        path.unlink()
        ratios.append(seconds / plain)
        print(
            f"\n{rows:,} bars: Parquet {plain:.2f} s; landed in {seconds:.2f} s "
            f"({seconds / plain:.1f}×), of which the gate {gate:.2f} s and the merge "
            f"{seconds - gate:.2f} s ({(seconds - gate) / plain:.1f}×); peak {peak:.2f} GiB; "
            f"load {os.getloadavg()[0]:.1f}"
        )
        assert peak < 3
    # A small load is mostly the price of a commit.
    assert median(ratios) <= 3 or not FULL


def test_a_day_more_costs_the_same_after_ten_years(tmp_path: Path) -> None:
    """Finding out where the lake ends and landing a day, with one year there and with ten.

    Two lakes, for what counts in one is also how many small files the last days have left.
    """
    days = trading_days(YEARS * DAYS_A_YEAR)
    rows = history("daily", SYMBOLS, days)
    at = rows.column("trade_date")
    symbols = pc.unique(rows.column("symbol")).to_pylist()

    def add(lake: Settings, day: date) -> float:
        today = rows.filter(pc.equal(at, day))
        started = time.perf_counter()
        catalog = open_catalog(lake.catalog, lake.s3)
        assert set(last_dates(catalog, "daily", symbols)) == set(symbols)
        land(lake, today)
        return time.perf_counter() - started

    seconds: dict[int, list[float]] = {1: [], YEARS: []}
    with ExitStack() as running_lakes:
        lakes = {}
        for years in seconds:
            settings = Settings(home=tmp_path / str(years), _env_file=None)  # type: ignore[call-arg]
            lake = running_lakes.enter_context(running(settings, needs=frozenset({LAKE})))
            ensure_tables(open_catalog(lake.catalog, lake.s3))
            first = days[-years * DAYS_A_YEAR]
            land(lake, rows.filter(pc.and_(pc.greater_equal(at, first), pc.less(at, days[-DAYS]))))
            lakes[years] = lake
        for day in days[-DAYS:]:
            for years, lake in lakes.items():
                seconds[years].append(add(lake, day))
    young, old = median(seconds[1]), median(seconds[YEARS])
    print(
        f"\none day of {SYMBOLS:,} symbols onto one year: {young:.2f} s, onto {YEARS} years: "
        f"{old:.2f} s ({old / young:.2f}×; load {os.getloadavg()[0]:.1f})"
    )
    assert old / young < 1.3


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    """Symbols with ten years of bars each."""
    symbols = 250 if FULL else 25
    days = [day.isoformat() for day in trading_days(YEARS * DAYS_A_YEAR)]
    bars = [Bar(day, 10.0 + n / 100, 11.0 + n / 100, 9.0, 10.5, 100) for n, day in enumerate(days)]
    yield Exchange(bars={f"X{number:03}": bars for number in range(symbols)}, board="BENCH")


def _serve(exchange: Exchange, pipe: Connection) -> None:
    with serve(exchange) as base_url:
        pipe.send(base_url)
        pipe.recv()
        pipe.send(time.process_time())


def _only_fetch(http: HttpClient, exchange: Exchange, threads: int) -> int:
    """Get and decode the same pages with the same client and do nothing with them."""

    def fetch(symbol: str) -> int:
        rows = 0
        path = f"/iss/history/engines/stock/markets/shares/boards/BENCH/securities/{symbol}.json"
        while True:
            asked = {"start": rows, "iss.only": "history,history.cursor"}
            page = http.get_json(path, asked)["history"]["data"]
            rows += len(page)
            if len(page) < PAGE_ROWS:
                return rows

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(fetch, exchange.bars))


# What Python works at, from its innermost frame outwards: the first that is listed names it.
LAYERS = (
    ("/json/", "JSON decoding"),
    ("/urllib3/", "HTTP client"),
    ("/http/client.py", "HTTP client"),
    ("/tenacity/", "HTTP client"),
    ("/lakehouse/sources/http", "HTTP client"),
    ("/lakehouse/sources/", "rows to Arrow"),
    ("/lakehouse/landing/quality", "quality gate"),
    ("/catalog/", "commit to the lake"),
    ("/lakehouse/landing/landing", "counting, merging"),
    ("/dlt/", "dlt: extract, normalise, load"),
    ("/lakehouse/landing/", "dlt: extract, normalise, load"),
    ("/deploy/local/", "starting and stopping the lake"),
    ("importlib", "imports"),
)
SAMPLES_A_SECOND = 200
PROGRAMS = Path(sys.executable).parent


def _layers(profile: Path) -> Counter[str]:
    """Samples of py-spy's raw profile (``outermost;…;innermost count`` a line) by layer."""
    layers: Counter[str] = Counter()
    for line in profile.read_text().splitlines():
        frames, _, count = line.rpartition(" ")
        innermost_first = frames.split(";")[::-1]
        found = (name for frame in innermost_first for part, name in LAYERS if part in frame)
        layers[next(found, "other" if frames else "start and end of Python")] += int(count)
    return layers


def _backfill(base_url: str, symbols: Iterable[str], home: Path, *profiler: str) -> str:
    """What ``weekahead ingest`` writes, with its own lake, run by a profiler if one is named."""
    command = f"ingest --json --source moex --symbols {','.join(symbols)}"
    done = subprocess.run(
        [*profiler, PROGRAMS / "weekahead", *command.split()],
        env={
            **os.environ,
            "WEEKAHEAD_HOME": str(home),
            "WEEKAHEAD_MOEX__BASE_URL": base_url,
            "WEEKAHEAD_MOEX__BOARD": "BENCH",
            "WEEKAHEAD_HTTP__PAUSE_SECONDS": "0",
            "WEEKAHEAD_INGEST__START": "2014-01-01",
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_backfill_waits_for_the_server(exchange: Exchange, tmp_path: Path) -> None:
    """How long the command takes beside fetching and decoding alone, and what Python does then.

    A sample counts while its thread holds the interpreter: who waits for an answer does not.
    """
    context = get_context("spawn")
    here, there = context.Pipe()
    child = context.Process(target=_serve, args=(exchange, there), daemon=True)
    child.start()
    base_url = here.recv()
    policy = HttpSettings(pause_seconds=0)
    with HttpClient(policy, base_url=base_url, setting="") as http:
        started = time.perf_counter()
        fetched = _only_fetch(http, exchange, policy.parallel)
        floor = time.perf_counter() - started
    report = json.loads(_backfill(base_url, exchange.bars, tmp_path / "plain"))
    profile = tmp_path / "profile.txt"
    spy = f"record --gil --full-filenames --rate {SAMPLES_A_SECOND} --format raw --output {profile}"
    profiler = [str(PROGRAMS / "py-spy"), *spy.split(), "--"]
    _backfill(base_url, exchange.bars, tmp_path / "profiled", *profiler)
    here.send("stop")
    served = here.recv()
    child.join()
    rows, seconds = report["tables"]["raw.quotes"]["new"], report["seconds"]
    assert rows == fetched == sum(map(len, exchange.bars.values()))
    print(
        f"\n{rows:,} bars in {report['requests']:,} requests: {seconds:.1f} s; fetching and "
        f"decoding alone: {floor:.1f} s ({seconds / floor:.2f}×). The server's CPU for one of "
        f"three such rounds: {served / 3:.1f} s; load {os.getloadavg()[0]:.1f}. What Python did:"
    )
    layers = _layers(profile)
    for name, count in layers.most_common():
        print(f"  {count / SAMPLES_A_SECOND:5.1f} s {count / layers.total():6.1%}  {name}")
