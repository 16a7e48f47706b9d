"""How fast bars land, and what a daily run and a backfill cost.

Scaled down by default; ``WEEKAHEAD_BENCH_FULL=1`` takes 12.5 M bars and 5,000 symbols.
"""

import cProfile
import os
import pstats
import resource
import time
from collections.abc import Iterator
from datetime import date, timedelta
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalog.connect import open_catalog
from lakehouse.landing.ingest import ingest
from lakehouse.landing.landing import Landing
from lakehouse.landing.quality import Expectation
from lakehouse.landing.request import IngestRequest
from lakehouse.settings import Settings
from lakehouse.settings.sources import HttpSettings, IngestSettings, MoexSettings
from lakehouse.sources.base import QUOTES_SCHEMA, SPLITS_SCHEMA
from lakehouse.sources.sample.exchange import Bar, Exchange
from lakehouse.sources.sample.replay import serve

FULL = os.environ.get("WEEKAHEAD_BENCH_FULL") == "1"
SYMBOLS = 5_000 if FULL else 500
YEARS = 10
DAYS_A_YEAR = 250
LAST = date(2024, 12, 31)


def trading_days(count: int) -> list[date]:
    """So many weekdays, 250 of each year's 261, up to the last."""
    days: list[date] = []
    day = LAST
    while len(days) < count:
        if day.weekday() < 5:
            days.append(day)
        day -= timedelta(days=1)
    return days[::-1]


def history(source: str, symbols: int, days: list[date]) -> pa.Table:
    """Random walks of many symbols, symbol by symbol."""
    random = np.random.default_rng(7)
    shape = (symbols, len(days))
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.01, shape), axis=1)).ravel()
    rows = close.size
    names = pa.array([f"S{number:05}" for number in range(symbols)])
    columns = {
        "source": pa.repeat(pa.scalar(source), rows),
        "symbol": names.take(pa.array(np.repeat(np.arange(symbols), len(days)))),
        "trade_date": pa.array(np.tile(np.array(days, "datetime64[D]"), symbols)),
        "open": close,
        "high": close * 1.01,
        "low": close * 0.99,
        "close": close,
        "volume": random.integers(1, 10**6, rows),
        "value": close * 1000,
        "currency": pa.repeat(pa.scalar("RUB"), rows),
        "board": pa.repeat(pa.scalar("TQBR"), rows),
        "malformed": pa.nulls(rows, pa.string()),
    }
    return pa.table(columns).cast(QUOTES_SCHEMA)


def land(settings: Settings, rows: pa.Table) -> None:
    """The gate and the merge, as an ingest does it."""
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
    verdict = landing.judge(rows, expected, max_reject_share=0.05)
    landing.land_quotes(verdict)
    assert landing.tables["raw.quotes"].new == rows.num_rows


def _measure(settings: Settings, path: Path, pipe: Connection) -> None:
    """Seconds of plain Parquet and of landing, and the peak memory, of a fresh process."""
    rows = history("bench", SYMBOLS, trading_days(YEARS * DAYS_A_YEAR))
    started = time.perf_counter()
    pq.write_table(rows, path)
    plain = time.perf_counter() - started
    started = time.perf_counter()
    land(settings, rows)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    pipe.send((plain, seconds, peak, rows.num_rows))


def test_landing_is_near_to_writing_parquet(lake: Settings, tmp_path: Path) -> None:
    context = get_context("spawn")
    here, there = context.Pipe()
    child = context.Process(target=_measure, args=(lake, tmp_path / "plain.parquet", there))
    child.start()
    child.join()
    plain, seconds, peak, rows = here.recv()
    print(
        f"\n{rows:,} bars: Parquet {plain:.2f} s, landed in {seconds:.2f} s "
        f"({seconds / plain:.1f}×), peak {peak:.2f} GiB"
    )
    assert peak < 3


@pytest.mark.parametrize("years", [1, YEARS])
def test_a_day_more(lake: Settings, years: int) -> None:
    source = f"day{years}"
    days = trading_days(years * DAYS_A_YEAR)
    rows = history(source, SYMBOLS, days)
    old = rows.filter(pa.compute.less(rows.column("trade_date"), LAST))
    new = rows.filter(pa.compute.equal(rows.column("trade_date"), LAST))
    land(lake, old)
    started = time.perf_counter()
    land(lake, new)
    seconds = time.perf_counter() - started
    print(f"\none day of {SYMBOLS:,} symbols onto {years} years: {seconds:.2f} s")


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


def test_a_backfill_waits_for_the_server(
    lake: Settings, exchange: Exchange, tmp_path: Path
) -> None:
    """Where the time goes: the sum of each share of the whole, by module."""
    context = get_context("spawn")
    here, there = context.Pipe()
    child = context.Process(target=_serve, args=(exchange, there))
    child.start()
    settings = lake.model_copy(
        update={
            "home": tmp_path,
            "moex": MoexSettings(base_url=here.recv(), board="BENCH"),
            "http": HttpSettings(pause_seconds=0, parallel=1),
            "ingest": IngestSettings(start=date(2014, 1, 1)),
        }
    )
    profile = cProfile.Profile()
    started = time.perf_counter()
    profile.enable()
    report = ingest(settings, IngestRequest("moex", symbols=tuple(exchange.bars)))
    profile.disable()
    seconds = time.perf_counter() - started
    here.send("stop")
    child.join()
    rows = report.tables["raw.quotes"].new
    assert rows == sum(map(len, exchange.bars.values()))
    print(f"\n{rows:,} bars in {report.requests:,} requests: {seconds:.1f} s")
    pstats.Stats(profile).sort_stats("tottime").print_stats(12)
