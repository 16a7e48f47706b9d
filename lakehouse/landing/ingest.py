"""The ingest: plan from the lake's state, fetch, check, merge, report."""

import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime

from catalog.connect import ensure_tables, load_table
from catalog.merge import current_snapshot
from catalog.tables import REJECTS
from lakehouse.errors import NotEnoughData, UnknownSymbol, UsageError
from lakehouse.findings import list_findings, open_counts
from lakehouse.landing.aftermath import look_back
from lakehouse.landing.calendars import Calendars
from lakehouse.landing.fetch import fetch_and_load
from lakehouse.landing.landing import Landing
from lakehouse.landing.plan import CALENDAR_AHEAD, Planner
from lakehouse.landing.request import SYMBOL, IngestReport, IngestRequest
from lakehouse.platform import Platform
from lakehouse.settings import Settings
from lakehouse.sources import find_source
from lakehouse.sources.reader import Batch, FetchLog, Reader


def ingest(platform: Platform, request: IngestRequest) -> IngestReport:
    """Fetch quotes and reference data, and merge them into the lake.

    A failing symbol does not lose the work on others: it is retried once at the end of the run,
    then listed in the report's ``failed`` and read again next time. If nothing could be read at
    all, the first failure is raised.

    Args:
        platform: The lake; its settings give sources and limits.
        request: What to fetch.

    Returns:
        Counts by table and symbol, failures, warnings and findings.

    Raises:
        UsageError: The request contradicts itself or names an unknown source.
        UnknownSymbol: The source knows none of the symbols.
        NotEnoughData: There are no quotes within the requested dates.
        SourceUnavailable: The quote API does not answer or refuses.
        TooManyRejects: Too many bars of every symbol break a rule.
    """
    started = time.monotonic()
    today = datetime.now(UTC).date()
    settings = platform.settings
    if request.symbols is None and not request.board and request.source == settings.ingest.source:
        request = replace(request, symbols=settings.ingest.symbols or None)
    _check(request, today)
    if request.symbols is not None:
        request = replace(request, symbols=tuple(name.upper() for name in request.symbols))
    opener = find_source(request.source)
    catalog = platform.lake
    ensure_tables(catalog)
    landing = Landing(catalog, request.source)
    log = FetchLog()
    if request.board:
        moex = settings.moex.model_copy(update={"board": request.board})
        settings = settings.model_copy(update={"moex": moex})
    with opener(settings) as reader:
        first = min(settings.ingest.start, request.start or today)
        calendars = Calendars(catalog, request.source, first, today + CALENDAR_AHEAD)
        planner = Planner(catalog, reader, request, settings, calendars, today)
        run = _Run(settings, reader, landing, log, calendars, today)
        expected = run.land_all(planner.batches())
        run.land_all(planner.newcomers(landing.symbols))
        run.land_all(planner.rescaled(landing.rescaled))
        if passing := log.passing():
            log.try_again(passing)
            run.land_all(planner.second_pass(passing))
        calendars.land(landing, first, planner.calendar_end)
        look_back(landing, log, planner, calendars, explicit=request.end is not None)
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
        findings=tuple(landing.findings),
        open_findings=open_counts(list_findings(catalog, source=request.source)),
        snapshots=dict(sorted(landing.snapshots.items())),
        requests=requests,
        seconds=round(time.monotonic() - started, 3),
    )


class _Run:
    """What all batches of a run share."""

    def __init__(
        self,
        settings: Settings,
        reader: Reader,
        landing: Landing,
        log: FetchLog,
        calendars: Calendars,
        today: date,
    ) -> None:
        self._settings = settings
        self._reader = reader
        self._landing = landing
        self._log = log
        self._calendars = calendars
        self._today = today

    def land_all(self, batches: Iterable[Batch]) -> bool:
        """Land batches until the source refuses; returns whether any should have brought quotes."""
        expected = False
        for batch in batches:
            if self._log.gave_up:
                break
            expected |= batch.expects_quotes
            if self._land(batch) or not batch.stop_before_failure:
                continue
            # Nothing after a missing older day may land, so retry that day now.
            passing = self._log.passing()
            self._log.try_again(passing)
            if not passing or not self._land(batch):
                break
        return expected

    def _land(self, batch: Batch) -> bool:
        return fetch_and_load(
            self._settings,
            self._reader,
            batch,
            self._landing,
            self._log,
            self._calendars,
            self._today,
        )


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
    """Raise if no quote was read although there should have been some."""
    errors = list(log.errors.values())
    unknown = [error for error in errors if isinstance(error, UnknownSymbol)]
    if errors and len(unknown) == len(errors):
        raise UnknownSymbol("\n".join(sorted(map(str, unknown))))
    for error in errors:
        if not isinstance(error, UnknownSymbol):
            raise error
    if expected:
        names = ", ".join(request.symbols or ()) or request.board or "any symbol"
        raise NotEnoughData(
            f"{request.source} has no quotes of {names} from {request.start or 'the beginning'} to "
            f"{request.end or 'today'}. Nothing was written. Choose other dates, or leave out "
            "--start and --end."
        )
