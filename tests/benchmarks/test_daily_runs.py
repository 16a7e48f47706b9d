"""A year of daily runs with maintenance: the lake stays small, whatever has happened in it."""

import time
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.catalog import Catalog

from catalog.connect import load_table
from catalog.maintenance import MaintenanceReport, maintain
from catalog.snapshots import tag_snapshot
from catalog.tables import CALENDAR, QUOTES, REJECTS
from lakehouse.landing.landing import Landing
from lakehouse.landing.quality import Expectation
from lakehouse.platform import Platform
from lakehouse.sources.reader import CALENDAR_SCHEMA, QUOTES_SCHEMA, SPLITS_SCHEMA, rows_to_arrow

RUNS = 250
WEEKLY = 5
KEPT_RUNS = 20
LOOK_BACK = 5
SYMBOLS = ("A", "B", "C")
# Two years have bars, and a year with no more small files than allowed is left as it is.
MOST_FILES = 2 * 8
FIRST = date(2024, 6, 3)


def bar(symbol: str, day: date, close: float, volume: int) -> dict[str, object]:
    prices = dict.fromkeys(("open", "high", "low", "close"), close)
    return {"source": "year", "symbol": symbol, "trade_date": day, "volume": volume, **prices}


def bars(number: int) -> pa.Table:
    """A day's bars and a look-back in which one is corrected; one more bar is bad."""
    rows = []
    for back in range(min(LOOK_BACK, number) + 1):
        day = FIRST + timedelta(days=number - back)
        # The close of the day before is corrected by the next run.
        volume = 1 if back == 0 else 2
        rows += [bar(symbol, day, 100.0 + number - back, volume) for symbol in SYMBOLS]
    rows.append(bar("BAD", FIRST + timedelta(days=number), -1.0, 1))
    return rows_to_arrow(rows, QUOTES_SCHEMA)


def daily_run(catalog: Catalog, number: int, folder: Path) -> Landing:
    """Judge and land a day as an ingest does it."""
    today = FIRST + timedelta(days=number)
    landing = Landing(catalog, "year", load_id=f"year-{number}")
    expected = Expectation(FIRST, today, today, None, SPLITS_SCHEMA.empty_table(), jump_limit=0.5)
    landing.judge(bars(number), expected, max_reject_share=0.5)
    landing.land("quotes", folder / "judged-already")
    day = {"source": "year", "trade_date": today, "is_open": True}
    pq.write_table(rows_to_arrow([day], CALENDAR_SCHEMA), folder / "calendar.parquet")
    landing.land("calendar", folder / "calendar.parquet")
    return landing


def test_a_year_of_daily_runs_leaves_a_small_lake(lake: Platform, tmp_path: Path) -> None:
    catalog = lake.lake
    started = time.monotonic()
    ends: list[float] = []
    reports: dict[str, list[MaintenanceReport]] = {}
    for number in range(RUNS):
        landing = daily_run(catalog, number, tmp_path)
        ends.append(time.time())
        if number == 7:
            tagged = landing.snapshots[QUOTES.name]
            assert tagged is not None
            tag_snapshot(catalog, QUOTES, tagged, "model-1")
        if number % WEEKLY == WEEKLY - 1 and number > KEPT_RUNS:
            # As if the snapshots of the last runs were younger than the limit.
            keep = timedelta(seconds=time.time() - ends[-KEPT_RUNS])
            for definition in (QUOTES, CALENDAR, REJECTS):
                report = maintain(
                    catalog,
                    lake.settings.s3,
                    definition,
                    keep=keep,
                    orphan_age=timedelta(0),
                    small_files=8,
                )
                reports.setdefault(definition.name, []).append(report)
    seconds = time.monotonic() - started
    print(f"\n{RUNS} daily runs with {len(reports[QUOTES.name])} maintenances: {seconds:.0f} s")
    for name, history in reports.items():
        sizes = [report.after for report in history]
        last = sizes[-1]
        print(
            f"  {name}: {last.files} files, {last.snapshots} snapshots, {last.objects} objects, "
            f"at most {max(size.files for size in sizes)}, "
            f"{max(size.snapshots for size in sizes)}, {max(size.objects for size in sizes)}"
        )
        assert max(size.files for size in sizes) <= MOST_FILES
        # A run commits twice when it adds and corrects, compaction once a partition, and a tag.
        assert max(size.snapshots for size in sizes) <= 3 * KEPT_RUNS
        # The second half of the year leaves no more than the first did.
        half = len(sizes) // 2
        first, second = sizes[:half], sizes[half:]
        assert max(s.objects for s in second) <= 1.3 * max(s.objects for s in first)

    rows = load_table(catalog, QUOTES).scan("source = 'year'").to_arrow().sort_by("trade_date")
    assert rows.num_rows == RUNS * len(SYMBOLS)
    volumes = rows.column("volume").to_pylist()
    assert set(volumes[: -len(SYMBOLS)]) == {2} and set(volumes[-len(SYMBOLS) :]) == {1}
    rejects = load_table(catalog, REJECTS).scan("source = 'year'").to_arrow()
    assert rejects.num_rows == RUNS
    then = load_table(catalog, QUOTES).scan("source = 'year'", snapshot_id=tagged).to_arrow()
    assert then.num_rows == 8 * len(SYMBOLS)
