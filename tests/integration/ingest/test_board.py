"""A whole board, day by day: what is fetched, and at what price in requests."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from catalog.connect import open_catalog
from lakehouse.errors import SourceUnavailable
from lakehouse.findings import OPEN, STALE_SYMBOL, list_findings
from lakehouse.landing.ingest import ingest
from lakehouse.landing.request import Counts, IngestReport, IngestRequest
from lakehouse.platform import Platform
from lakehouse.settings import Settings
from lakehouse.settings.sources import HttpSettings, IngestSettings, MoexSettings
from lakehouse.sources.sample.exchange import Bar, Exchange
from lakehouse.sources.sample.replay import Params, ReplayHandler, serve, serve_handler

TODAY = datetime.now(UTC).date()


def weekdays(count: int) -> list[str]:
    """The last ``count`` weekdays before today."""
    days = (TODAY - timedelta(days=number) for number in range(1, count * 2))
    return sorted(day.isoformat() for day in days if day.weekday() < 5)[-count:]


def series(days: list[str], price: float = 100.0) -> list[Bar]:
    return [Bar(day, price, price + 1, price - 1, price + 0.5, 10) for day in days]


def board_of(names: str | list[str], days: list[str]) -> Exchange:
    mark = uuid4().hex[:6].upper()
    return Exchange(bars={f"{mark}{name}": series(days) for name in names}, board=f"B{mark}")


@contextmanager
def settings_for(
    lake: Platform, home: Path, base_url: str, board: str, **limits: object
) -> Iterator[Settings]:
    yield lake.settings.model_copy(
        update={
            "home": home,
            "moex": MoexSettings(base_url=base_url, board=board, dividends_per_run=3),
            "http": HttpSettings(attempts=2, backoff_seconds=0.01, pause_seconds=0),
            "ingest": IngestSettings(start=date.fromisoformat(weekdays(60)[0]), **limits),  # type: ignore[arg-type]
        }
    )


def lake_keys(settings: Settings, board: str) -> set[tuple[str, str]]:
    table = open_catalog(settings.catalog, settings.s3).load_table("raw.quotes")
    rows = table.scan(f"board = '{board}'").to_arrow()
    return {(row["symbol"], str(row["trade_date"])) for row in rows.to_pylist()}


def keys(exchange: Exchange) -> set[tuple[str, str]]:
    return {(symbol, bar.day) for symbol, bars in exchange.bars.items() for bar in bars}


def read(lake: Platform, home: Path, exchange: Exchange) -> tuple[IngestReport, Settings]:
    """Ingest a board as it is now."""
    with (
        serve(exchange) as base_url,
        settings_for(lake, home, base_url, exchange.board) as settings,
    ):
        return ingest(Platform(settings), IngestRequest("moex", board=exchange.board)), settings


def test_a_board_is_read_and_then_kept_up(lake: Platform, tmp_path: Path) -> None:
    days = weekdays(60)
    whole = board_of("ABC", days)
    early = replace(whole, bars={name: series(days[:-2]) for name in whole.bars})
    report, settings = read(lake, tmp_path, early)
    assert report.tables["raw.quotes"] == Counts(new=3 * 58)
    assert lake_keys(settings, whole.board) == keys(early)

    report, settings = read(lake, tmp_path, whole)
    assert report.tables["raw.quotes"].new == 6
    assert report.exit_code == 0
    assert lake_keys(settings, whole.board) == keys(whole)


def test_a_symbol_that_is_met_for_the_first_time_brings_its_history(
    lake: Platform, tmp_path: Path
) -> None:
    days = weekdays(60)
    whole = board_of("AB", days)
    first, second = whole.bars
    read(lake, tmp_path, replace(whole, bars={first: whole.bars[first]}))
    report, settings = read(lake, tmp_path, whole)
    assert report.symbols[second].new == 60
    assert lake_keys(settings, whole.board) == keys(whole)


def test_a_listed_symbol_without_recent_bars_is_stale_until_it_trades_again(
    lake: Platform, tmp_path: Path
) -> None:
    days = weekdays(60)
    whole = board_of("ABC", days)
    halted, *_ = whole.bars
    without = replace(whole, bars={**whole.bars, halted: series(days[:-8])})
    read(lake, tmp_path, replace(without, bars={n: b[:-1] for n, b in without.bars.items()}))

    def stale(exchange: Exchange) -> list[tuple[str, date]]:
        read(lake, tmp_path, exchange)
        found = list_findings(lake.lake, source="moex", rule=STALE_SYMBOL, state=OPEN)
        return [(each.symbol, each.first_date) for each in found if each.symbol in whole.bars]

    assert stale(without) == [(halted, date.fromisoformat(days[-9]))]
    assert stale(whole) == []


def test_requests_do_not_grow_with_the_number_of_symbols(lake: Platform, tmp_path: Path) -> None:
    asked: dict[int, set[str]] = {}
    for count in (5, 90):
        exchange = board_of([f"{number:03}" for number in range(count)], weekdays(12))
        read(lake, tmp_path, exchange)
        # A request that is repeated, because a connection broke off, asks for nothing more.
        asked[count] = set()

        class Handler(ReplayHandler):
            def do_GET(self, targets: set[str] = asked[count]) -> None:
                targets.add(self.path)
                super().do_GET()

        bound = type("Bound", (Handler,), {"exchange": exchange})
        with (
            serve_handler(bound) as base_url,
            settings_for(lake, tmp_path, base_url, exchange.board) as settings,
        ):
            report = ingest(Platform(settings), IngestRequest("moex", board=exchange.board))
        assert report.tables["raw.quotes"].new == 0
        assert report.requests >= len(asked[count])
    assert len(asked[5]) == len(asked[90])


def test_nothing_after_a_failed_old_day_is_landed(lake: Platform, tmp_path: Path) -> None:
    days = weekdays(60)
    exchange = board_of("AB", days)
    broken = {days[20]}

    class Handler(ReplayHandler):
        def answer(self, path: str, params: Params) -> object:  # type: ignore[override]
            if params.get("date") in broken:
                return {"history": "oops"}
            return super().answer(path, params)

    bound = type("Bound", (Handler,), {"exchange": exchange})
    with (
        serve_handler(bound) as base_url,
        settings_for(lake, tmp_path, base_url, exchange.board) as settings,
    ):
        report = ingest(Platform(settings), IngestRequest("moex", board=exchange.board))
        assert list(report.failed) == [days[20]]
        expected = {key for key in keys(exchange) if key[1] < days[20]}
        assert lake_keys(settings, exchange.board) == expected
        broken.clear()
        report = ingest(Platform(settings), IngestRequest("moex", board=exchange.board))
        assert report.exit_code == 0
        assert lake_keys(settings, exchange.board) == keys(exchange)


def test_a_host_with_quotes_alone_will_do(lake: Platform, tmp_path: Path) -> None:
    exchange = board_of("AB", weekdays(15))

    class Handler(ReplayHandler):
        def answer(self, path: str, params: Params) -> object:  # type: ignore[override]
            return super().answer(path, params) if "/boards/" in path else None

    bound = type("Bound", (Handler,), {"exchange": exchange})
    with (
        serve_handler(bound) as base_url,
        settings_for(lake, tmp_path, base_url, exchange.board) as settings,
    ):
        report = ingest(Platform(settings), IngestRequest("moex", symbols=tuple(exchange.bars)))
        assert report.exit_code == 0
        assert lake_keys(settings, exchange.board) == keys(exchange)
        assert any("splits" in warning for warning in report.warnings)
        assert any("XMOS is used instead" in warning for warning in report.warnings)
        landed = report.tables["raw.calendar"]
        assert landed.new + landed.corrected + landed.unchanged > 60


def test_a_source_that_goes_away_keeps_what_was_read(lake: Platform, tmp_path: Path) -> None:
    exchange = board_of("ABCDEF", weekdays(15))
    first = sorted(exchange.bars)[:2]
    with (
        serve(exchange) as base_url,
        settings_for(lake, tmp_path, base_url, exchange.board, batch_symbols=2) as settings,
    ):
        ingest(Platform(settings), IngestRequest("moex", symbols=tuple(first)))
    with pytest.raises(SourceUnavailable):
        ingest(Platform(settings), IngestRequest("moex", symbols=tuple(exchange.bars)))
    assert {symbol for symbol, _ in lake_keys(settings, exchange.board)} == set(first)
