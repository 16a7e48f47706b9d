"""Runs one batch through dlt: extract, normalise, check the whole load, then load it."""

import errno
import os
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import psutil
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from catalog.tables import SPLITS
from lakehouse.errors import HomeError, SettingsError, WeekaheadError
from lakehouse.landing.calendars import Calendars
from lakehouse.landing.frames import to_frame
from lakehouse.landing.held import rows_of
from lakehouse.landing.judgement import Judgement, bars_around
from lakehouse.landing.landing import (
    Landing,
    read_calendar,
    read_dividends,
    read_quotes,
    read_splits,
)
from lakehouse.landing.quality import Expectation
from lakehouse.ownership import private_folder
from lakehouse.settings import Settings
from lakehouse.sources.reader import SPLITS_SCHEMA, Batch, FetchLog, Reader

if TYPE_CHECKING:
    import dlt

DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EPERM}


def fetch_and_load(
    settings: Settings,
    reader: Reader,
    batch: Batch,
    landing: Landing,
    log: FetchLog,
    calendars: Calendars,
    today: date,
) -> bool:
    """Fetch, check and commit one batch.

    Nothing is committed if the whole batch failed, or if it brought no quotes although it should
    have.

    Args:
        settings: Home directory, limits and the dbt project.
        reader: The open source.
        batch: What to fetch.
        landing: Takes the tables; accumulates counts over the run.
        log: Failures and remarks of the source; accumulates over the run.
        calendars: Trading days of the symbols.
        today: The current date.

    Returns:
        False if the batch had to be cut short, so that later ones must not be landed.

    Raises:
        HomeError: The working directory cannot be written.
        SettingsError: ``split_overrides.csv`` cannot be read.
        CatalogError: A commit failed.
    """
    with _working_directory(settings.home) as folder, _own_errors(landing, settings.home):
        pipeline = _pipeline(folder, landing)
        workers = settings.http.parallel
        pipeline.extract(
            reader.resources(batch, log), workers=workers, max_parallel_items=2 * workers
        )
        pipeline.normalize()
        failed = [name for name in batch.names if name in log.failed]
        if len(failed) == len(batch.names):
            log.drain()
            return False
        files = _files(pipeline)
        quotes = read_quotes(files["quotes"])
        complete = not (failed and batch.stop_before_failure)
        if not complete:
            day = date.fromisoformat(min(failed))
            quotes = quotes.filter(pc.less(quotes.column("trade_date"), day))
        if batch.expects_quotes and not quotes.num_rows:
            log.drain()
            return complete
        calendars.add_days(read_calendar(files["calendar"]))
        expected = Expectation(
            start=batch.start,
            end=batch.end,
            today=today,
            symbols=batch.symbols,
            splits=_known_splits(settings.dbt_dir, landing, read_splits(files["splits"])),
            jump_limit=settings.ingest.jump_limit,
            around=bars_around(landing.catalog, landing.source, batch, quotes),
            without_volume=frozenset(log.without_volume),
        )
        landing.load_id = uuid4().hex
        verdict = landing.judge(quotes, expected, settings.ingest.max_reject_share)
        dividends = read_dividends(files["dividends"])
        Judgement(batch, quotes, dividends, expected, verdict).record(landing, log, calendars)
        if verdict.accepted.num_rows or not verdict.refused:
            pipeline.load()
    return complete


def _known_splits(dbt_dir: Path, landing: Landing, arriving: pa.Table) -> pa.Table:
    """Splits of overrides, load and lake, in this order of precedence; one per symbol and date."""
    here = rows_of(landing.catalog, SPLITS, landing.source).select(SPLITS_SCHEMA.names)
    tables = [split_overrides(dbt_dir, landing.source), arriving, here.cast(SPLITS_SCHEMA)]
    both = to_frame(pa.concat_tables(tables))
    return both.unique(SPLITS.key, keep="first", maintain_order=True).to_arrow()


def split_overrides(dbt_dir: Path, source: str) -> pa.Table:
    """Manual corrections of splits, from the dbt project; a ratio of 1:1 cancels a split.

    Args:
        dbt_dir: The dbt project.
        source: Quote source.

    Returns:
        Splits of the source, in the columns of ``SPLITS_SCHEMA``.

    Raises:
        SettingsError: The file cannot be read.
    """
    path = dbt_dir / "seeds" / "split_overrides.csv"
    try:
        rows = csv.read_csv(
            path, convert_options=csv.ConvertOptions(column_types=SPLITS_SCHEMA)
        ).select(SPLITS_SCHEMA.names)
    except (OSError, pa.ArrowException) as error:
        raise SettingsError(
            f"{path} cannot be read ({error}): it needs the columns "
            f"{','.join(SPLITS_SCHEMA.names)} and dates such as 2020-08-26."
        ) from error
    return rows.filter(pc.equal(rows.column("source"), source)).cast(SPLITS_SCHEMA)


def _pipeline(folder: Path, landing: Landing) -> "dlt.Pipeline":
    os.environ.setdefault("RUNTIME__DLTHUB_TELEMETRY", "false")
    import dlt

    from lakehouse.landing.destination import lake_destination

    return dlt.pipeline(
        "weekahead", pipelines_dir=str(folder), destination=lake_destination(landing)
    )


def _files(pipeline: "dlt.Pipeline") -> dict[str, list[Path]]:
    """The Parquet files of the load by table."""
    files: dict[str, list[Path]] = defaultdict(list)
    for load_id in pipeline.list_normalized_load_packages():
        for job in pipeline.get_load_package_info(load_id).jobs["new_jobs"]:
            files[job.job_file_info.table_name].append(Path(job.file_path))
    return files


@contextmanager
def _working_directory(home: Path) -> Iterator[Path]:
    """A fresh directory for dlt, so that leftovers of a killed run cannot interfere."""
    root = home / "ingest"
    if "%" in str(root.absolute()):
        # dlt formats the path as a template, in which a percent sign is special.
        root = private_folder(Path(tempfile.gettempdir()) / f"weekahead-{os.geteuid()}-ingest")
    folder = root / f"{os.getpid()}-{uuid4().hex[:8]}"
    try:
        folder.mkdir(parents=True, mode=0o700)
        for left in root.iterdir():
            if not psutil.pid_exists(int(left.name.partition("-")[0])):
                shutil.rmtree(left, ignore_errors=True)
    except OSError as error:
        raise HomeError(
            f"{root} cannot be used ({error.strerror}): free some space, make it writable, "
            "or set WEEKAHEAD_HOME to another directory."
        ) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _own_errors(landing: Landing, home: Path) -> Iterator[None]:
    """Raise the original error instead of dlt's wrapper around it."""
    try:
        yield
    except WeekaheadError:
        raise
    except Exception as error:
        if landing.error is not None:
            raise landing.error from None
        for cause in _causes(error):
            if isinstance(cause, WeekaheadError):
                raise cause from None
            if isinstance(cause, OSError) and cause.errno in DISK_ERRORS:
                raise HomeError(
                    f"{home} cannot be written ({cause.strerror}): free space there, or set "
                    "WEEKAHEAD_HOME to another directory. Nothing of this load was committed."
                ) from error
        raise


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
