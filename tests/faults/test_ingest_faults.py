"""A quote API that misbehaves, and what is in the lake and in quarantine afterwards."""

import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pyiceberg.expressions import In

from catalog.connect import open_catalog
from lakehouse.errors import BadPayload, SourceUnavailable, TooManyRejects, UnknownSymbol
from lakehouse.findings import OPEN, TOO_MANY_REJECTS, list_findings
from lakehouse.landing.ingest import ingest
from lakehouse.landing.rejects import list_rejects
from lakehouse.landing.rejects_replay import replay_rejects
from lakehouse.landing.request import Counts, IngestReport, IngestRequest
from lakehouse.platform import Platform
from lakehouse.settings import Settings
from lakehouse.settings.sources import HttpSettings, IngestSettings, MoexSettings
from lakehouse.sources.sample.exchange import Bar, Exchange
from lakehouse.sources.sample.replay import Params, ReplayHandler, serve_handler

FIRST = date(2024, 1, 1)
DAYS = 250
Row = tuple[str, str, float, float, float, float, int]


def bars(days: int = DAYS, *, price: float = 100.0, first: date = FIRST) -> list[Bar]:
    """Daily bars without gaps; three pages of them by default."""
    return [
        Bar(
            (first + timedelta(days=number)).isoformat(),
            price + number * 0.25,
            price + number * 0.25 + 2,
            price + number * 0.25 - 1,
            price + number * 0.25 + 0.5,
            1000 + number,
        )
        for number in range(days)
    ]


@dataclass
class Chaos:
    """A replay server with faults.

    Attributes:
        exchange: The true bars.
        base_url: Where it listens.
        interrupt: Called before a request is answered: handler, symbol, start, number of times
            that this page was asked for; True when it has answered itself.
        distort: Called with an answer's blocks, the symbol and the start; may change the blocks.
        asked: How often each page was asked for.
    """

    exchange: Exchange
    base_url: str = ""
    interrupt: Callable[[Any, str, int, int], bool] = lambda *_: False
    distort: Callable[[dict[str, Any], str, int], None] = lambda *_: None
    asked: Counter[tuple[str, str]] = field(default_factory=Counter)
    times: list[float] = field(default_factory=list)

    @property
    def symbols(self) -> tuple[str, ...]:
        return tuple(self.exchange.bars)

    def revise(self, symbol: str, number: int, **changes: Any) -> None:
        """Change one bar of the exchange."""
        series = list(self.exchange.bars[symbol])
        series[number] = replace(series[number], **changes)
        self.exchange = replace(self.exchange, bars={**self.exchange.bars, symbol: series})


class ChaosHandler(ReplayHandler):
    """The replay server's answers, with a fault before or in them."""

    chaos: Chaos

    @property
    def exchange(self) -> Exchange:  # type: ignore[override]
        return self.chaos.exchange

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if "/history/" not in path or "changeover" in path:
            return super().do_GET()
        symbol = path.rpartition("/")[2].removesuffix(".json")
        start = next((part[6:] for part in query.split("&") if part.startswith("start=")), "0")
        self.chaos.asked[symbol, start] += 1
        self.chaos.times.append(time.monotonic())
        times = self.chaos.asked[symbol, start]
        if not self.chaos.interrupt(self, symbol, int(start), times):
            super().do_GET()

    def answer(self, path: str, params: Params) -> Any:
        blocks = super().answer(path, params)
        if blocks and "history" in blocks:
            blocks = json.loads(json.dumps(blocks))
            symbol = path.rpartition("/")[2].removesuffix(".json")
            self.chaos.distort(blocks, symbol, int(params.get("start", 0)))
        return blocks


@contextmanager
def running(chaos: Chaos) -> Iterator[Chaos]:
    handler = type("Handler", (ChaosHandler,), {"chaos": chaos})
    with serve_handler(handler) as base_url:
        chaos.base_url = base_url
        yield chaos


@pytest.fixture
def chaos() -> Iterator[Chaos]:
    """Three symbols that no other test uses, 250 bars each."""
    mark = uuid4().hex[:6].upper()
    exchange = Exchange(
        bars={f"{mark}{name}": bars(price=100.0 * (1 + at)) for at, name in enumerate("ABC")},
        board=f"B{mark}",
        currency="RUB",
    )
    with running(Chaos(exchange)) as server:
        yield server


@pytest.fixture
def settings(lake: Platform, chaos: Chaos, tmp_path: Path) -> Settings:
    return lake.settings.model_copy(
        update={
            "home": tmp_path,
            "moex": MoexSettings(base_url=chaos.base_url, board=chaos.exchange.board),
            "http": HttpSettings(
                attempts=3,
                backoff_seconds=0.01,
                max_backoff_seconds=2,
                read_timeout_seconds=1.0,
                total_timeout_seconds=2.0,
                pause_seconds=0,
            ),
        }
    )


def run(settings: Settings, chaos: Chaos, **request: Any) -> IngestReport:
    wanted = {"source": "moex", "symbols": chaos.symbols, "start": FIRST} | request
    return ingest(Platform(settings), IngestRequest(**wanted))


def truth(chaos: Chaos, *symbols: str) -> list[Row]:
    """The exchange's bars as they should be in the lake."""
    return [
        (symbol, bar.day, bar.open, bar.high, bar.low, bar.close, bar.volume)  # type: ignore[misc]
        for symbol in sorted(symbols or chaos.symbols)
        for bar in chaos.exchange.bars[symbol]
    ]


def lake_rows(settings: Settings, *symbols: str, snapshot: int | None = None) -> list[Row]:
    """The lake's bars of some symbols."""
    table = open_catalog(settings.catalog, settings.s3).load_table("raw.quotes")
    rows = table.scan(In("symbol", set(symbols)), snapshot_id=snapshot).to_arrow()
    names = ("symbol", "trade_date", "open", "high", "low", "close", "volume")
    return sorted(
        (row["symbol"], row["trade_date"].isoformat(), *(row[name] for name in names[2:]))
        for row in rows.select(names).to_pylist()
    )


def rejected(settings: Settings, chaos: Chaos) -> list[tuple[str, str, str]]:
    """Symbol, date and rule of what is in quarantine."""
    catalog = open_catalog(settings.catalog, settings.s3)
    return sorted(
        (reject.symbol or "", str(reject.trade_date), reject.rule)
        for reject in list_rejects(catalog, "moex")
        if (reject.symbol or "") in chaos.symbols
    )


def open_findings(settings: Settings, *symbols: str) -> list[tuple[str, str]]:
    """Rule and first date of the open findings of some symbols."""
    catalog = open_catalog(settings.catalog, settings.s3)
    return sorted(
        (finding.rule, str(finding.first_date))
        for finding in list_findings(catalog, source="moex", state=OPEN)
        if finding.symbol in symbols
    )


def snapshots(settings: Settings) -> dict[str, int]:
    """Number of snapshots by table."""
    catalog = open_catalog(settings.catalog, settings.s3)
    return {
        name: len(catalog.load_table(("raw", name)).snapshots())
        for name in ("quotes", "splits", "dividends", "calendar", "securities", "rejects")
    }


def once(status: int, **headers: str) -> Callable[[Any, str, int, int], bool]:
    """Answer the first request of every page with an error."""

    def interrupt(handler: Any, symbol: str, start: int, times: int) -> bool:
        if times > 1:
            return False
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return True

    return interrupt


def raw(
    body: bytes, *, promise: int | None = None, content_type: str = "application/json"
) -> Callable[[Any], None]:
    """Send a body as it is, perhaps promising more bytes than there are, and hang up."""

    def send(handler: Any) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", content_type)
        handler.send_header("Content-Length", str(promise or len(body)))
        # Announced, because a request on a connection that is just being closed is an attempt which
        # the server does not see.
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(body)
        handler.wfile.flush()
        handler.close_connection = True

    return send


def assert_all_there(settings: Settings, chaos: Chaos, report: IngestReport) -> None:
    assert report.exit_code == 0
    assert report.tables["raw.quotes"] == Counts(new=3 * DAYS)
    assert lake_rows(settings, *chaos.symbols) == truth(chaos)
    assert rejected(settings, chaos) == []


def assert_lost(settings: Settings, chaos: Chaos, report: IngestReport, *lost: str) -> None:
    """The lost symbols are reported and wholly absent; the others are wholly there."""
    kept = [symbol for symbol in chaos.symbols if symbol not in lost]
    assert report.exit_code == 1
    assert set(report.failed) == set(lost)
    assert lake_rows(settings, *chaos.symbols) == truth(chaos, *kept)
    assert rejected(settings, chaos) == []


@pytest.mark.parametrize(
    "fault",
    [once(429), once(429, Retry_After="0"), once(500), once(502), once(503), once(504)],
    ids=["429", "429-retry-after", "500", "502", "503", "504"],
)
def test_a_passing_refusal_is_waited_out(settings: Settings, chaos: Chaos, fault: Any) -> None:
    chaos.interrupt = fault
    assert_all_there(settings, chaos, run(settings, chaos))
    assert set(chaos.asked.values()) == {2}


def test_retry_after_is_honoured_by_all_requests(settings: Settings, chaos: Chaos) -> None:
    symbol = chaos.symbols[0]

    def interrupt(handler: Any, asked: str, start: int, times: int) -> bool:
        if (asked, start) != (symbol, 100):
            return False
        return once(429, Retry_After="1")(handler, asked, start, times)

    chaos.interrupt = interrupt
    report = run(settings, chaos, symbols=(symbol,))
    assert report.exit_code == 0
    assert lake_rows(settings, symbol) == truth(chaos, symbol)
    assert chaos.asked[symbol, "100"] == 2
    assert max(b - a for a, b in zip(chaos.times, chaos.times[1:], strict=False)) >= 0.95


def test_an_hour_of_retry_after_is_not_waited_for(settings: Settings, chaos: Chaos) -> None:
    chaos.interrupt = once(429, Retry_After="3600")
    started = time.monotonic()
    with pytest.raises(SourceUnavailable, match="status 429"):
        run(settings, chaos)
    assert time.monotonic() - started < 20
    assert lake_rows(settings, *chaos.symbols) == []


def test_a_source_that_only_fails_changes_nothing(settings: Settings, chaos: Chaos) -> None:
    run(settings, chaos, symbols=chaos.symbols[:1])
    before = snapshots(settings)

    def interrupt(handler: Any, symbol: str, start: int, times: int) -> bool:
        return once(500)(handler, symbol, start, 1)

    chaos.interrupt = interrupt
    with pytest.raises(SourceUnavailable, match="status 500"):
        run(settings, chaos, symbols=chaos.symbols[1:])
    assert snapshots(settings) == before
    assert lake_rows(settings, *chaos.symbols[1:]) == []


BROKEN = {
    "cut": raw(b'{"history": {"columns": ["SECID"', promise=5000),
    "truncated": raw(b'{"history": {"columns": ["SECID"'),
    "html": raw(b"<html>Are you a robot?</html>", content_type="text/html; charset=utf-8"),
    "slow": lambda handler: time.sleep(1.5),
}


def trickle(handler: Any) -> None:
    """A byte now and then: every single read is in time, the whole is not."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    try:
        for _ in range(40):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.1)
    except OSError:
        pass
    handler.close_connection = True


BROKEN["trickle"] = trickle


def grow(chaos: Chaos, kinds: Iterable[str]) -> dict[str, str]:
    """Add a symbol for each kind of fault; gives kind by symbol."""
    mark = chaos.symbols[0][:6]
    named = {f"{mark}X{number}": kind for number, kind in enumerate(kinds)}
    more = {symbol: bars(price=50.0 + at) for at, symbol in enumerate(named)}
    chaos.exchange = replace(chaos.exchange, bars={**chaos.exchange.bars, **more})
    return named


def test_a_broken_answer_is_asked_for_again(settings: Settings, chaos: Chaos) -> None:
    kinds = grow(chaos, BROKEN)

    def interrupt(handler: Any, symbol: str, start: int, times: int) -> bool:
        if symbol not in kinds or start != 100 or times > 1:
            return False
        BROKEN[kinds[symbol]](handler)
        return True

    chaos.interrupt = interrupt
    report = run(settings, chaos)
    assert report.failed == {}
    assert lake_rows(settings, *chaos.symbols) == truth(chaos)
    assert {chaos.asked[symbol, "100"] for symbol in kinds} == {2}


def test_one_symbol_lost_does_not_lose_the_others(settings: Settings, chaos: Chaos) -> None:
    kinds = grow(chaos, BROKEN)

    def interrupt(handler: Any, symbol: str, start: int, times: int) -> bool:
        if symbol not in kinds or start != 100:
            return False
        BROKEN[kinds[symbol]](handler)
        return True

    chaos.interrupt = interrupt
    assert_lost(settings, chaos, run(settings, chaos), *kinds)
    # Whose reason may have passed is asked for a second time before the run ends.
    attempts = settings.http.attempts
    assert {chaos.asked[symbol, "100"] for symbol in kinds} == {attempts, 2 * attempts}

    chaos.interrupt = lambda *_: False
    report = run(settings, chaos, start=None)
    assert report.exit_code == 0
    assert {report.symbols[symbol] for symbol in kinds} == {Counts(new=DAYS)}
    assert lake_rows(settings, *chaos.symbols) == truth(chaos)


def test_a_network_that_goes_away_in_the_middle_keeps_what_was_whole(
    settings: Settings, chaos: Chaos
) -> None:
    grow(chaos, "abcdefghij")
    settings = split_in_small_batches(settings)

    def interrupt(handler: Any, symbol: str, start: int, times: int) -> bool:
        if len(chaos.times) <= 20:
            return False
        handler.close_connection = True
        return True

    chaos.interrupt = interrupt
    report = run(settings, chaos)
    kept = sorted(report.symbols)
    assert report.exit_code == 1 and 0 < len(kept) < len(chaos.symbols)
    assert lake_rows(settings, *chaos.symbols) == truth(chaos, *kept)
    assert rejected(settings, chaos) == []
    # After several refusals in a row, the remaining symbols are not requested.
    assert len(chaos.times) <= 20 + 3 * settings.http.attempts * settings.http.parallel

    chaos.interrupt = lambda *_: False
    report = run(settings, chaos, start=None)
    assert report.exit_code == 0
    assert lake_rows(settings, *chaos.symbols) == truth(chaos)


def test_an_empty_page_in_the_middle_once(settings: Settings, chaos: Chaos) -> None:
    def empty(blocks: dict[str, Any], symbol: str, start: int) -> None:
        if start == 100 and chaos.asked[symbol, "100"] == 1:
            blocks["history"]["data"] = []

    chaos.distort = empty
    assert_all_there(settings, chaos, run(settings, chaos))


def cursor(**changes: int) -> Callable[[dict[str, Any], int], None]:
    def lie(blocks: dict[str, Any], start: int) -> None:
        block = blocks["history.cursor"]
        row = dict(zip(block["columns"], block["data"][0], strict=True)) | changes
        block["data"] = [[row[name] for name in block["columns"]]]

    return lie


def empty_middle(blocks: dict[str, Any], start: int) -> None:
    if start == 100:
        blocks["history"]["data"] = []


def without(column: str) -> Callable[[dict[str, Any], int], None]:
    def drop(blocks: dict[str, Any], start: int) -> None:
        block = blocks["history"]
        at = block["columns"].index(column)
        block["columns"].pop(at)
        for row in block["data"]:
            row.pop(at)

    return drop


LIES: dict[str, Callable[[dict[str, Any], int], Any]] = {
    "total of one page": cursor(TOTAL=100),
    "total too small": cursor(TOTAL=150),
    "total too large": cursor(TOTAL=400),
    "index": cursor(INDEX=0),
    "page size": cursor(PAGESIZE=0),
    "empty page": empty_middle,
    "no close": without("CLOSE"),
    "no volume": without("VOLUME"),
    "no date": without("TRADEDATE"),
    "no block": lambda blocks, start: blocks.pop("history"),
    "short row": lambda blocks, start: blocks["history"]["data"][0].pop(),
    "not iss": lambda blocks, start: blocks.update(history=[1, 2, 3]),
}


def test_an_answer_that_contradicts_itself_is_not_used(settings: Settings, chaos: Chaos) -> None:
    kinds = grow(chaos, LIES)

    def distort(blocks: dict[str, Any], symbol: str, start: int) -> None:
        if symbol in kinds:
            LIES[kinds[symbol]](blocks, start)

    chaos.distort = distort
    assert_lost(settings, chaos, run(settings, chaos), *kinds)


def other_order(blocks: dict[str, Any], symbol: str, start: int) -> None:
    for block in blocks.values():
        block["columns"].reverse()
        for row in block["data"]:
            row.reverse()


def order_by_page(blocks: dict[str, Any], symbol: str, start: int) -> None:
    if start == 100:
        other_order(blocks, symbol, start)


def new_column(blocks: dict[str, Any], symbol: str, start: int) -> None:
    blocks["history"]["columns"].insert(2, "MOOD")
    for row in blocks["history"]["data"]:
        row.insert(2, "sunny")


def without_extras(blocks: dict[str, Any], symbol: str, start: int) -> None:
    for name in ("VALUE", "NUMTRADES", "CURRENCYID", "BOARDID", "WAPRICE"):
        without(name)(blocks, start)


def no_cursor(blocks: dict[str, Any], symbol: str, start: int) -> None:
    blocks.pop("history.cursor")


def backwards(blocks: dict[str, Any], symbol: str, start: int) -> None:
    blocks["history"]["data"].reverse()


@pytest.mark.parametrize(
    "distort", [other_order, order_by_page, new_column, without_extras, no_cursor, backwards]
)
def test_what_is_no_promise_may_change(settings: Settings, chaos: Chaos, distort: Any) -> None:
    chaos.distort = distort
    assert_all_there(settings, chaos, run(settings, chaos))


def test_identical_copies_count_once(settings: Settings, chaos: Chaos) -> None:
    def repeat(blocks: dict[str, Any], symbol: str, start: int) -> None:
        if start == 200:
            blocks["history"]["data"].append(blocks["history"]["data"][0])
        cursor(TOTAL=DAYS + 1)(blocks, start)

    chaos.distort = repeat
    assert_all_there(settings, chaos, run(settings, chaos))


def change_cell(
    victim: str, number: int, column: str, value: Any
) -> Callable[[dict[str, Any], str, int], None]:
    """Change one value of one bar on its way."""

    def distort(blocks: dict[str, Any], symbol: str, start: int) -> None:
        block = blocks["history"]
        if symbol == victim and start <= number < start + len(block["data"]):
            block["data"][number - start][block["columns"].index(column)] = value

    return distort


BAD_CELLS = [
    ("CLOSE", None, "missing"),
    ("VOLUME", None, "missing"),
    ("CLOSE", "a lot", "type"),
    ("VOLUME", 1.5, "type"),
    ("OPEN", True, "type"),
    ("TRADEDATE", "2024-13-45", "type"),
    ("TRADEDATE", "2023-06-01", "out_of_range"),
    ("TRADEDATE", "2224-01-01", "future"),
    ("SECID", "SOMEBODY", "unknown_symbol"),
    ("LOW", 0, "positive_price"),
    ("LOW", -5, "positive_price"),
    ("HIGH", float("inf"), "positive_price"),
    ("CLOSE", float("nan"), "positive_price"),
    ("LOW", 99999, "price_range"),
    ("HIGH", 1, "price_range"),
    ("VOLUME", -1, "volume"),
]


def test_bad_bars_go_to_quarantine_alone(settings: Settings, chaos: Chaos) -> None:
    victims = chaos.symbols[:2]
    changes = [
        change_cell(victims[number % 2], 100 + number, column, value)
        for number, (column, value, _) in enumerate(BAD_CELLS)
    ]

    def distort(blocks: dict[str, Any], symbol: str, start: int) -> None:
        for change in changes:
            change(blocks, symbol, start)

    chaos.distort = distort
    report = run(settings, chaos)
    bad = len(BAD_CELLS)
    assert report.exit_code == 0
    assert report.tables["raw.quotes"] == Counts(new=3 * DAYS - bad, rejected=bad)
    spoiled = {(victims[number % 2], bars()[100 + number].day) for number in range(bad)}
    expected = [row for row in truth(chaos) if row[:2] not in spoiled]
    assert lake_rows(settings, *chaos.symbols) == expected
    catalog = open_catalog(settings.catalog, settings.s3)
    found = [
        reject
        for reject in list_rejects(catalog, "moex")
        # Tests of other boards share the lake.
        if reject.payload.get("board") == chaos.exchange.board
    ]
    assert Counter(reject.rule for reject in found) == Counter(rule for *_, rule in BAD_CELLS)
    assert {reject.status for reject in found} == {"open"}
    wrong = next(reject for reject in found if "a lot" in reject.payload.values())
    assert wrong.payload["close"] == "a lot" and wrong.payload["_malformed"] == ["close"]

    before = snapshots(settings)
    assert run(settings, chaos).tables["raw.quotes"].rejected == bad
    assert snapshots(settings) == before, "the same bad bar is recorded once"


def test_days_without_trades_are_no_bars(settings: Settings, chaos: Chaos) -> None:
    victim = chaos.symbols[0]
    chaos.revise(victim, 7, open=None, high=None, low=None, close=None, volume=0)
    report = run(settings, chaos)
    assert report.tables["raw.quotes"] == Counts(new=3 * DAYS - 1)
    assert rejected(settings, chaos) == []


def test_different_bars_for_one_day_are_both_rejected(settings: Settings, chaos: Chaos) -> None:
    victim = chaos.symbols[2]
    twin = bars()[31].day
    chaos.distort = change_cell(victim, 30, "TRADEDATE", twin)
    report = run(settings, chaos)
    assert report.tables["raw.quotes"] == Counts(new=3 * DAYS - 2, rejected=2)
    assert rejected(settings, chaos) == [(victim, twin, "duplicate")] * 2
    gone = {(victim, twin), (victim, bars()[30].day)}
    expected = [row for row in truth(chaos) if row[:2] not in gone]
    assert lake_rows(settings, *chaos.symbols) == expected


def test_too_many_bad_bars_refuse_their_symbol_whoever_is_in_the_load(
    settings: Settings, chaos: Chaos
) -> None:
    victim, *others = chaos.symbols
    series = [replace(bar, close=-1.0) if n % 4 == 0 else bar for n, bar in enumerate(bars(60))]
    chaos.exchange = replace(chaos.exchange, bars={**chaos.exchange.bars, victim: series})
    before = snapshots(settings)
    with pytest.raises(TooManyRejects, match=r"15 of 60 bars of \w+ break a rule \(positive_price"):
        run(settings, chaos, symbols=(victim,))
    assert snapshots(settings) == before
    report = run(settings, chaos)
    assert (report.exit_code, list(report.failed)) == (1, [victim])
    assert lake_rows(settings, *chaos.symbols) == truth(chaos, *others)
    assert open_findings(settings, victim) == [(TOO_MANY_REJECTS, str(FIRST))]
    tolerant = settings.model_copy(update={"ingest": IngestSettings(max_reject_share=0.3)})
    assert run(tolerant, chaos).symbols[victim] == Counts(new=45, rejected=15)
    assert len(rejected(settings, chaos)) == 15
    assert TOO_MANY_REJECTS not in dict(open_findings(settings, victim))


def test_revised_history_replaces_and_stays_readable(settings: Settings, chaos: Chaos) -> None:
    run(settings, chaos)
    table = open_catalog(settings.catalog, settings.s3).load_table("raw.quotes")
    before, old = table.current_snapshot().snapshot_id, truth(chaos)  # type: ignore[union-attr]
    victim = chaos.symbols[0]
    chaos.revise(victim, DAYS - 3, close=163.0, volume=77)
    chaos.revise(victim, 5, close=102.0)

    report = run(settings, chaos, start=None)
    assert report.symbols[victim] == Counts(corrected=1, unchanged=10), "within the look-back"
    report = run(settings, chaos)
    assert report.symbols[victim] == Counts(corrected=1, unchanged=DAYS - 1), "all of it"
    assert lake_rows(settings, *chaos.symbols) == truth(chaos)
    assert lake_rows(settings, *chaos.symbols, snapshot=before) == old


def test_a_renamed_ticker_keeps_its_history(settings: Settings, chaos: Chaos) -> None:
    old, new = chaos.symbols[0], f"{chaos.symbols[0]}NEW"
    series = bars()
    day = series[200].day
    others = {symbol: chaos.exchange.bars[symbol] for symbol in chaos.symbols[1:]}
    chaos.exchange = replace(
        chaos.exchange,
        bars={**others, old: series[:200], new: series[200:]},
        changes=((day, old, new),),
    )
    report = run(settings, chaos, symbols=(new,))
    assert report.symbols == {new: Counts(new=DAYS)}
    assert [row[1:] for row in lake_rows(settings, new)] == [
        (bar.day, bar.open, bar.high, bar.low, bar.close, bar.volume) for bar in series
    ]
    assert lake_rows(settings, old) == []
    report = run(settings, chaos, symbols=(new,), start=None)
    assert report.symbols == {new: Counts(unchanged=11)}


def test_unknown_symbols_are_named(settings: Settings, chaos: Chaos) -> None:
    before = snapshots(settings)
    with pytest.raises(UnknownSymbol, match=r"no symbol 'NEVER'(.|\n)*no symbol 'NOSUCH'"):
        run(settings, chaos, symbols=("NOSUCH", "NEVER"))
    assert snapshots(settings) == before
    report = run(settings, chaos, symbols=(*chaos.symbols, "NOSUCH"))
    assert report.exit_code == 1
    assert list(report.failed) == ["NOSUCH"]
    assert lake_rows(settings, *chaos.symbols) == truth(chaos)


def test_a_suspended_symbol_is_no_error_for_ever(settings: Settings, chaos: Chaos) -> None:
    gone, *others = chaos.symbols
    run(settings, chaos)
    old = truth(chaos)
    for left in ([], bars()[:100]):
        # Whether the exchange forgets the symbol altogether or only has nothing new.
        chaos.exchange = replace(chaos.exchange, bars={**chaos.exchange.bars, gone: left})
        report = run(settings, chaos, start=None)
        assert set(report.symbols) == set(others)
        assert report.exit_code == 0
    assert lake_rows(settings, *chaos.symbols) == old


def test_a_rule_that_changes_lets_rejects_in(settings: Settings, chaos: Chaos) -> None:
    victim = chaos.symbols[0]
    chaos.distort = change_cell(victim, 10, "SECID", chaos.symbols[2] + "X")
    run(settings, chaos)
    stranger = chaos.symbols[2] + "X"
    assert lake_rows(settings, stranger) == []
    # On its own the bar is fine: the replay no longer checks whether it had been requested.
    report = replay_rejects(Platform(settings), "moex", symbol=stranger)
    assert report.tables["raw.quotes"] == Counts(new=1)
    assert [row[1] for row in lake_rows(settings, stranger)] == [bars()[10].day]
    catalog = open_catalog(settings.catalog, settings.s3)
    statuses = [r.status for r in list_rejects(catalog, "moex", symbol=stranger)]
    assert statuses == ["replayed"]
    report = replay_rejects(Platform(settings), "moex", symbol=stranger)
    assert report.tables["raw.quotes"] == Counts()


def test_a_payload_from_nowhere_is_named(settings: Settings, chaos: Chaos) -> None:
    chaos.distort = lambda blocks, symbol, start: blocks.update(history="oops")
    with pytest.raises(BadPayload, match="not in ISS format"):
        run(settings, chaos)


FORKED = get_context("forkserver")
# Forking from a process that has the imports done makes twenty killed runs affordable.
FORKED.set_forkserver_preload(["lakehouse.landing.ingest", "lakehouse.landing.destination"])


def split_in_small_batches(settings: Settings) -> Settings:
    return settings.model_copy(update={"ingest": IngestSettings(batch_symbols=2)})


def test_twenty_kills_leave_what_an_undisturbed_run_leaves(
    settings: Settings, chaos: Chaos
) -> None:
    grow(chaos, "abcde")
    victim = chaos.symbols[4]
    chaos.distort = change_cell(victim, 120, "CLOSE", -1)
    expected = [row for row in truth(chaos) if row[:2] != (victim, bars()[120].day)]
    settings = split_in_small_batches(settings)
    request = IngestRequest(source="moex", symbols=chaos.symbols, start=FIRST)
    moments = random.Random(20240229)
    reached, killed = set(), 0
    # How long an ingest takes depends on what else the machine does.
    started = time.monotonic()
    whole = FORKED.Process(
        target=ingest, args=(Platform(settings), replace(request, symbols=chaos.symbols[:2]))
    )
    whole.start()
    whole.join()
    longest = 2.5 * (time.monotonic() - started)
    for number in range(20):
        child = FORKED.Process(target=ingest, args=(Platform(settings), request))
        child.start()
        # Ever later ones, or the first that comes to its end would leave nothing to do.
        child.join(moments.uniform(0.1, longest * (number + 1) / 20))
        if child.is_alive():
            child.kill()
            killed += 1
        child.join()
        here = lake_rows(settings, *chaos.symbols)
        assert set(here) <= set(expected), "nothing that is not true"
        symbols = Counter(row[0] for row in here)
        assert set(symbols.values()) <= {DAYS, DAYS - 1}, "no symbol by half"
        reached.add(len(symbols))
    assert killed >= 5 and len(reached) > 1, "the kills were spread over the run"
    assert run(settings, chaos).exit_code == 0
    assert lake_rows(settings, *chaos.symbols) == expected
    assert rejected(settings, chaos) == [(victim, bars()[120].day, "positive_price")]
    assert list((settings.home / "ingest").iterdir()) == []


def test_two_ingests_at_once_lose_and_double_nothing(settings: Settings, chaos: Chaos) -> None:
    grow(chaos, "abcde")
    victim = chaos.symbols[0]
    chaos.distort = change_cell(victim, 120, "CLOSE", -1)
    settings = split_in_small_batches(settings)
    forth, back = chaos.symbols, tuple(reversed(chaos.symbols))
    children = [
        FORKED.Process(
            target=ingest,
            args=(Platform(settings), IngestRequest("moex", symbols=order, start=FIRST)),
        )
        for order in (forth, back, forth)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0, 0, 0]
    expected = [row for row in truth(chaos) if row[:2] != (victim, bars()[120].day)]
    assert lake_rows(settings, *chaos.symbols) == expected
    assert rejected(settings, chaos) == [(victim, bars()[120].day, "positive_price")]
