"""Maintenance on a real catalog: bounded files, nothing lost, tags kept."""

import datetime as dt
import threading

import pyarrow as pa
from pyiceberg.catalog import Catalog

from catalog.maintenance import MaintenanceReport, maintain
from catalog.merge import merge
from catalog.snapshots import tag_snapshot
from catalog.tables import TableDefinition
from lakehouse.platform import Platform

START = dt.date(2020, 11, 1)
NOW = dt.timedelta(0)


def add_day(catalog: Catalog, quotes: TableDefinition, number: int) -> int | None:
    rows = pa.table(
        {
            "source": ["test"] * 3,
            "symbol": ["A", "B", "C"],
            "trade_date": [START + dt.timedelta(days=number)] * 3,
            "close": [float(number)] * 3,
        }
    )
    return merge(catalog, quotes, rows, commit_id=f"day-{number}").snapshot_id


def run(
    lake: Platform, catalog: Catalog, quotes: TableDefinition, **limits: dt.timedelta
) -> MaintenanceReport:
    return maintain(
        catalog,
        lake.settings.s3,
        quotes,
        keep=limits.get("keep", NOW),
        orphan_age=limits.get("orphan_age", NOW),
        small_files=4,
    )


def test_many_daily_runs_leave_few_files_and_every_row(
    lake: Platform, catalog: Catalog, quotes: TableDefinition
) -> None:
    tagged = None
    for number in range(90):
        snapshot = add_day(catalog, quotes, number)
        if number == 10:
            assert snapshot is not None
            tagged = snapshot
            tag_snapshot(catalog, quotes, snapshot, "model-7")
        if number % 30 == 29:
            report = run(lake, catalog, quotes)
            # Two years have bars, and a year with few files is left as it is.
            assert report.after.files <= 1 + 4
    assert report.before.files > 25
    assert report.before.snapshots > 25
    assert report.after.snapshots <= 3
    # Data files, manifests, lists and metadata of what is left: bounded, whatever went before.
    assert report.after.objects < 60 < report.before.objects
    rows = catalog.load_table(quotes.name).scan().to_arrow()
    assert rows.num_rows == 270
    assert sorted(set(rows["close"].to_pylist())) == [float(number) for number in range(90)]
    then = catalog.load_table(quotes.name).scan(snapshot_id=tagged).to_arrow()
    assert then.num_rows == 33


def test_young_files_and_snapshots_stay(
    lake: Platform, catalog: Catalog, quotes: TableDefinition
) -> None:
    for number in range(6):
        add_day(catalog, quotes, number)
    hour = dt.timedelta(hours=1)
    report = run(lake, catalog, quotes, keep=hour, orphan_age=hour)
    assert (report.expired_snapshots, report.orphans_deleted) == (0, 0)
    assert report.compacted_partitions == 1


def test_it_gives_way_to_writers_and_loses_none_of_their_rows(
    lake: Platform, catalog: Catalog, quotes: TableDefinition
) -> None:
    """Maintenance in a loop beside a writer; an hour's grace protects files not yet committed."""
    done = threading.Event()
    failures: list[BaseException] = []

    def write() -> None:
        try:
            for number in range(40):
                add_day(catalog, quotes, number)
        except BaseException as error:
            failures.append(error)
        finally:
            done.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not done.is_set():
        run(lake, catalog, quotes, orphan_age=dt.timedelta(hours=1))
    writer.join()
    assert not failures
    run(lake, catalog, quotes)
    assert catalog.load_table(quotes.name).scan().to_arrow().num_rows == 120
