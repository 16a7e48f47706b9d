"""The ingest: plan from the lake's state, fetch, check, merge, report."""

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, date, datetime

from catalog.connect import ensure_tables, load_table, open_catalog
from catalog.merge import current_snapshot
from catalog.tables import REJECTS
from lakehouse.errors import NotEnoughData, UnknownSymbol, UsageError
from lakehouse.landing.fetch import fetch_and_load
from lakehouse.landing.landing import Landing
from lakehouse.landing.plan import Planner
from lakehouse.landing.request import IngestReport, IngestRequest
from lakehouse.settings import Settings
from lakehouse.sources import find_source
from lakehouse.sources.reader import Batch, FetchLog, Reader

SYMBOL = re.compile(r"[A-Za-z0-9.^=_-]{1,32}")
Progress = Callable[[str], None]


def ingest(
    settings: Settings, request: IngestRequest, progress: Progress | None = None
) -> IngestReport:
    """Fetch quotes and what belongs to them, and merge them into the lake.

    A symbol that fails does not lose the others' work: it is in the report's ``failed`` and is read
    again next time. When nothing at all could be read, the first failure is raised.

    Args:
        settings: Addresses of the running services, sources and limits.
        request: What to fetch.
        progress: Called with a line for each symbol or day, possibly from several threads.

    Raises:
        UsageError: The request contradicts itself or names an unknown source.
        UnknownSymbol: The source knows none of the symbols.
        NotEnoughData: There are no quotes in the dates that were asked for.
        SourceUnavailable: The quote API does not answer or refuses.
        TooManyRejects: The quality gate stopped a load before it was committed.
    """
    started = time.monotonic()
    today = datetime.now(UTC).date()
    _check(request, today)
    if request.symbols is not None:
        request = replace(request, symbols=tuple(name.upper() for name in request.symbols))
    opener = find_source(request.source)
    catalog = open_catalog(settings.catalog, settings.s3)
    ensure_tables(catalog)
    landing = Landing(catalog, request.source)
    log = FetchLog(progress=progress or _say_nothing)
    if request.board:
        moex = settings.moex.model_copy(update={"board": request.board})
        settings = settings.model_copy(update={"moex": moex})
    with opener(settings) as reader:
        planner = Planner(catalog, reader, request, settings, today)
        expected = _land_all(settings, reader, planner.batches(), landing, log, today)
        _land_all(settings, reader, planner.newcomers(landing.symbols), landing, log, today)
        requests = reader.requests
    if not landing.symbols:
        _explain_nothing(request, log, expected)
    landing.snapshots.setdefault(REJECTS.name, current_snapshot(load_table(catalog, REJECTS)))
    return IngestReport(
        source=request.source,
        tables=dict(sorted(landing.tables.items())),
        symbols=dict(sorted(landing.symbols.items())),
        failed=dict(sorted(log.failed.items())),
        warnings=tuple(log.warnings),
        snapshots=dict(sorted(landing.snapshots.items())),
        requests=requests,
        seconds=round(time.monotonic() - started, 3),
    )


def _say_nothing(_: str) -> None:
    """Progress that nobody wants to see."""


def _land_all(
    settings: Settings,
    reader: Reader,
    batches: Iterable[Batch],
    landing: Landing,
    log: FetchLog,
    today: date,
) -> bool:
    """Land the batches until the source refuses; tell whether any had to bring quotes."""
    expected = False
    for batch in batches:
        expected |= batch.expects_quotes
        complete = fetch_and_load(settings, reader, batch, landing, log, today)
        if log.gave_up or not complete:
            break
    return expected


def _check(request: IngestRequest, today: date) -> None:
    if request.start and request.end and request.end < request.start:
        raise UsageError(
            f"--end {request.end} is before --start {request.start}: swap them, or leave one out."
        )
    if request.start and request.start > today:
        raise UsageError(f"--start {request.start} is in the future: there are no quotes yet.")
    if request.symbols is not None and request.board:
        raise UsageError("Name either --symbols or --board, not both.")
    if request.symbols is not None and not all(SYMBOL.fullmatch(name) for name in request.symbols):
        raise UsageError(
            f"'{','.join(request.symbols)}' is not a list of symbols such as AAPL,MSFT."
        )


def _explain_nothing(request: IngestRequest, log: FetchLog, expected: bool) -> None:
    """Raise when not one quote was read although there should have been some."""
    unknown = [error for error in log.errors if isinstance(error, UnknownSymbol)]
    if log.errors and len(unknown) == len(log.errors):
        raise UnknownSymbol("\n".join(sorted(map(str, unknown))))
    for error in log.errors:
        if not isinstance(error, UnknownSymbol):
            raise error
    if expected:
        names = ", ".join(request.symbols or ()) or request.board or "any symbol"
        raise NotEnoughData(
            f"{request.source} has no quotes of {names} from {request.start or 'the beginning'} to "
            f"{request.end or 'today'}. Nothing was written. Choose other dates, or leave out "
            "--start and --end."
        )
