"""The Moscow Exchange's oddities, made up in the ISS format, through to lake and findings."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from catalog.connect import ensure_tables, open_catalog
from deploy.local import LAKE
from flows.opened import opened
from lakehouse import findings
from lakehouse.errors import UnknownSymbol
from lakehouse.findings import OPEN, list_findings
from lakehouse.landing.ingest import ingest
from lakehouse.landing.rejects import list_rejects
from lakehouse.landing.request import Counts, IngestReport, IngestRequest
from lakehouse.platform import Platform
from lakehouse.settings import Settings
from lakehouse.settings.sources import HttpSettings, IngestSettings, MoexSettings
from lakehouse.sources.moex import ZONE
from lakehouse.sources.moex.renames import Rename, Renames
from lakehouse.sources.sample.exchange import Bar, Blocks, Exchange
from lakehouse.sources.sample.replay import Params, ReplayHandler, serve_handler
from tests.homes import settings_of

TODAY = datetime.now(ZONE).date()
WEEKDAYS = [day for n in range(400, 0, -1) if (day := TODAY - timedelta(days=n)).weekday() < 5]
MARK = uuid4().hex[:5].upper()
Change = Callable[[str, Params, Blocks], None]


def bars(days: list[date], price: float = 100.0) -> list[Bar]:
    return [Bar(day.isoformat(), price, price + 1, price - 1, price + 0.5, 10) for day in days]


@dataclass
class Board:
    """An exchange whose answers may be changed on their way."""

    exchange: Exchange
    change: Change = lambda *_: None
    settings: Settings = field(init=False)

    def read(self, *symbols: str, **dates: date) -> IngestReport:
        names = symbols or None
        board = None if symbols else self.exchange.board
        return ingest(Platform(self.settings), IngestRequest("moex", names, board, **dates))

    def landed(self, symbol: str) -> list[date]:
        table = open_catalog(self.settings.catalog, self.settings.s3).load_table("raw.quotes")
        rows = table.scan(f"source = 'moex' and symbol = '{symbol}'").to_arrow()
        return sorted(rows.column("trade_date").to_pylist())

    def found(self, symbol: str) -> set[str]:
        catalog = open_catalog(self.settings.catalog, self.settings.s3)
        open_ones = list_findings(catalog, source="moex", symbol=symbol, state=OPEN)
        return {finding.rule for finding in open_ones}


@contextmanager
def serving(board: Board, lake: Platform, home: Path, **moex: Any) -> Iterator[Board]:
    class Handler(ReplayHandler):
        @property
        def exchange(self) -> Exchange:  # type: ignore[override]
            return board.exchange

        def answer(self, path: str, params: Params) -> Blocks | None:
            blocks = super().answer(path, params) or {}
            board.change(path, params, blocks)
            return blocks or None

    with serve_handler(Handler) as base_url:
        board.settings = lake.settings.model_copy(
            update={
                "home": home,
                "moex": MoexSettings(base_url=base_url, board=board.exchange.board, **moex),
                "http": HttpSettings(attempts=1, backoff_seconds=0.01, pause_seconds=0),
                "ingest": IngestSettings(start=WEEKDAYS[0]),
            }
        )
        yield board


def make(symbols: dict[str, list[Bar]], **facts: Any) -> Board:
    return Board(Exchange(bars=symbols, board=f"B{uuid4().hex[:5].upper()}", **facts))


NAMES = (
    ("2010-01-10", "A", "B"),
    ("2012-01-10", "B", "C"),
    ("2014-01-10", "SELF", "SELF"),
    ("2015-01-10", "ROUND", "TRIP"),
    ("2016-01-10", "TRIP", "ROUND"),
    ("2017-01-10", "A", "D"),
    ("2018-01-10", "XXXXXX", "NEW"),
    ("2018-01-10", "GONE", "XXXXXX"),
    ("2019-01-10", "TWIN", "MAIN"),
    ("2020-01-10", "X", "Y"),
    ("2020-01-10", "Y", "X"),
)


def renames() -> Renames:
    changes = [Rename(old, new, date.fromisoformat(day)) for day, old, new in NAMES]
    return Renames(changes, lambda change: change.old == "TWIN")


@pytest.mark.parametrize(
    ("symbol", "names"),
    [
        ("C", [("C", "2012-01-10"), ("B", "2010-01-10"), ("A", "2005-01-01")]),
        ("D", [("D", "2017-01-10"), ("A", "2010-01-10")]),
        ("ROUND", [("ROUND", "2016-01-10"), ("TRIP", "2015-01-10"), ("ROUND", "2005-01-01")]),
        ("SELF", [("SELF", "2005-01-01")]),
        ("NEW", [("NEW", "2005-01-01")]),
        ("MAIN", [("MAIN", "2005-01-01")]),
        ("X", [("X", "2020-01-10"), ("Y", "2005-01-01")]),
        ("A", [("A", "2017-01-10")]),
    ],
)
def test_names_are_resolved_by_date(symbol: str, names: list[tuple[str, str]]) -> None:
    history = renames().names_of(symbol, date(2005, 1, 1), date(2024, 1, 1))
    assert [(name.symbol, str(name.first)) for name in history] == names


@pytest.mark.parametrize(
    ("symbol", "day", "today"),
    [
        ("A", "2009-05-05", "C"),
        ("A", "2016-05-05", "D"),
        ("A", "2018-05-05", "A"),
        ("ROUND", "2014-05-05", "ROUND"),
        ("TRIP", "2015-05-05", "ROUND"),
        ("TWIN", "2018-05-05", "TWIN"),
        ("GONE", "2017-05-05", "GONE"),
    ],
)
def test_a_name_of_the_past_is_called_as_today(symbol: str, day: str, today: str) -> None:
    assert renames().today(symbol, date.fromisoformat(day), {symbol}) == today


def test_ticker_changes_chains_and_additional_issues(lake: Platform, tmp_path: Path) -> None:
    first, second = WEEKDAYS[60], WEEKDAYS[120]
    old, mid, new, main, issue = (f"{MARK}{name}" for name in ("OLD", "MID", "NEW", "MN", "MN1D"))
    board = make(
        {
            old: bars(WEEKDAYS[:60]),
            mid: bars(WEEKDAYS[60:120]),
            new: bars(WEEKDAYS[120:]),
            main: bars(WEEKDAYS, 50.0),
            issue: bars(WEEKDAYS[30:120], 49.0),
        },
        changes=[
            (str(first), old, mid),
            (str(second), mid, new),
            (str(second), issue, main),
            (str(second), main, main),
            ("0000-00-00", old, new),
        ],
    )
    with serving(board, lake, tmp_path):
        report = board.read(new, main, issue)
        assert report.failed == {}
        assert board.landed(new) == board.landed(main) == WEEKDAYS
        assert board.landed(issue) == WEEKDAYS[30:120]
        with pytest.raises(UnknownSymbol, match=f"until {first} is called '{new}' today"):
            board.read(old)
    whole = replace(board.exchange, board=f"B{uuid4().hex[:5].upper()}")
    with serving(Board(whole), lake, tmp_path) as again:
        report = again.read(start=WEEKDAYS[0])
        assert report.failed == {} and report.tables["raw.quotes"].rejected == 0
        assert set(report.symbols) == {new, main, issue}


def test_the_session_of_today_and_those_of_weekends(lake: Platform, tmp_path: Path) -> None:
    symbol = f"{MARK}SB"
    days = [*WEEKDAYS[-10:], TODAY]
    extra = [day + timedelta(days=n) for day in days if day.weekday() == 4 for n in (1, 2)]
    extra = [day for day in extra if day < TODAY]
    board = make({symbol: bars(sorted({*days, *extra}))})

    def sessions(path: str, params: Params, blocks: Blocks) -> None:
        for name in ("history", "off_days"):
            if name in blocks:
                columns = [str(column).upper() for column in blocks[name]["columns"]]
                at = columns.index("TRADEDATE")
                blocks[name]["columns"].append("TRADE_SESSION_DATE")
                for row in blocks[name]["data"]:
                    day = date.fromisoformat(row[at])
                    row.append(str(day + timedelta(days={5: 2, 6: 1}.get(day.weekday(), 0))))

    board.change = sessions
    expected = [day for day in days if day < TODAY and day.weekday() < 5]
    with serving(board, lake, tmp_path):
        assert board.read(symbol).failed == {}
        assert board.landed(symbol) == expected
        assert findings.MISSING_SESSIONS not in board.found(symbol)
    own = f"{MARK}OWN"
    board.exchange = replace(board.exchange, bars={own: board.exchange.bars[symbol]})
    with serving(board, lake, tmp_path, weekend_sessions="own"):
        board.read(own)
        assert board.landed(own) == sorted(
            {*expected, *(day for day in [*extra, *days] if day < TODAY)}
        )


def test_pages_that_overlap_and_an_index_without_volume(lake: Platform, tmp_path: Path) -> None:
    symbol = f"{MARK}IX"
    board = make({symbol: bars(WEEKDAYS)})

    def overlap(path: str, params: Params, blocks: Blocks) -> None:
        if "history" in blocks:
            columns = blocks["history"]["columns"]
            start = int(params.get("start", 0))
            if start:
                before = board.exchange.history(symbol, start - 1, params["from"], params["till"])
                rows = before["history"]["data"]
                blocks["history"]["data"] = rows
            for row in blocks["history"]["data"]:
                row[columns.index("VOLUME")] = None

    board.change = overlap
    with serving(board, lake, tmp_path, market="index"):
        report = board.read(symbol)
        assert report.symbols == {symbol: Counts(new=len(WEEKDAYS))}
        assert board.landed(symbol) == WEEKDAYS


def test_odd_dividends_and_splits_cost_their_row(lake: Platform, tmp_path: Path) -> None:
    symbol, other = f"{MARK}DV", f"{MARK}SP"
    paid = [
        ("2026-02-02", 0.24), ("2026-02-02", 0.25), ("2111-05-05", 1.0),
        ("0000-00-00", 3.0), ("2026-03-03", 0.5), ("2026-04-04", 0.5), ("2026-04-04", 0.5),
    ]  # fmt: skip
    board = make(
        {symbol: bars(WEEKDAYS), other: bars(WEEKDAYS)},
        dividends={symbol: paid},
        splits=[
            (str(WEEKDAYS[0]), symbol, None, 2),  # type: ignore[list-item]
            (str(WEEKDAYS[0] - timedelta(days=1)), other, 1, 2),
            ("soon", other, 1, 2),
        ],
    )
    with serving(board, lake, tmp_path):
        report = board.read(symbol, other)
        assert report.failed == {}
        assert report.tables["raw.splits"].new == 1
        catalog = lake.lake
        rows = catalog.load_table("raw.dividends").scan(f"symbol = '{symbol}'").to_arrow()
        amounts = {str(r["record_date"]): r["amount"] for r in rows.to_pylist()}
        assert amounts == {"2026-02-02": 0.25, "2026-03-03": 0.5, "2026-04-04": 0.5}
        assert {findings.DIVIDENDS_DIFFER, findings.FAR_FUTURE} <= board.found(symbol)
        assert len(list_rejects(catalog, "moex", symbol=symbol)) == 3
        assert len(list_rejects(catalog, "moex", symbol=other)) == 1
        # The host stops to offer dividends: older ones stay, and there is a finding.
        board.change = lambda path, params, blocks: blocks.pop("dividends", None) and None
        report = board.read(symbol)
        assert any("no dividends since" in warning for warning in report.warnings)
        assert findings.DIVIDENDS_NOT_OFFERED in board.found("")
        rows = catalog.load_table("raw.dividends").scan(f"symbol = '{symbol}'").to_arrow()
        assert rows.num_rows == 3
        board.change = lambda *_: None
        board.read(symbol)
        assert findings.DIVIDENDS_NOT_OFFERED not in board.found("")


def test_the_boards_that_know_a_symbol_are_named(lake: Platform, tmp_path: Path) -> None:
    symbol, stranger = f"{MARK}HERE", f"{MARK}PRFN"
    board = make({symbol: bars(WEEKDAYS)})

    def boards(path: str, params: Params, blocks: Blocks) -> None:
        if path == f"/iss/securities/{stranger}.json":
            blocks["boards"] = {
                "columns": ["secid", "boardid", "history_from", "history_till"],
                "data": [
                    [stranger, "EQNE", "2012-01-02", "2014-05-05"],
                    [stranger, "RPMO", None, None],
                ],
            }

    board.change = boards
    with serving(board, lake, tmp_path), pytest.raises(UnknownSymbol) as refused:
        board.read(stranger)
    assert "Boards that have it: EQNE (2012-01-02 to 2014-05-05)" in str(refused.value)


@pytest.fixture
def own_lake(tmp_path: Path) -> Iterator[Platform]:
    """A lake in which no other test has written the exchange's calendar."""
    with opened(settings_of(tmp_path / "home"), frozenset({LAKE})) as platform:
        ensure_tables(platform.lake)
        yield platform


def test_a_day_of_the_board_that_was_missed_is_read_again(
    own_lake: Platform, tmp_path: Path
) -> None:
    symbol = f"{MARK}GP"
    days = WEEKDAYS[-60:]
    gap = days[20]
    board = make({symbol: bars([day for day in days if day != gap])})
    full = replace(board.exchange, bars={symbol: bars(days), "Z": bars(days)})
    calendar = lambda path, params, blocks: blocks.update(  # noqa: E731
        full.calendar(params["from"], params["till"]) if "off_days" in blocks else {}
    )
    board.change = calendar
    with serving(board, own_lake, tmp_path):
        board.settings = board.settings.model_copy(update={"ingest": IngestSettings(start=days[0])})
        board.read()
        assert findings.MISSING_SESSIONS in board.found(symbol)
        board.exchange = replace(board.exchange, bars={symbol: bars(days)})
        board.read()
        assert board.landed(symbol) == days
        assert findings.MISSING_SESSIONS not in board.found(symbol)
