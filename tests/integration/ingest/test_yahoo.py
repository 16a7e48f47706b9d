"""Yahoo's chart format, served on loopback with made-up bars, into the lake."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

import pytest

from catalog.connect import open_catalog
from lakehouse.errors import SourceUnavailable, UnknownSymbol
from lakehouse.landing.ingest import ingest
from lakehouse.landing.request import Counts, IngestRequest
from lakehouse.platform import Platform
from lakehouse.settings import Settings
from lakehouse.settings.sources import HttpSettings, IngestSettings, YahooSettings
from lakehouse.sources.sample.replay import ReplayHandler, serve_handler

OFFSET = -5 * 3600
FIRST = date(2024, 1, 2)
DAYS = [FIRST + timedelta(days=number) for number in range(120)]


@dataclass
class Yahoo:
    """Adjusts as-traded bars the way Yahoo does and serves them."""

    symbol: str
    closes: list[float]
    splits: dict[date, tuple[int, int]] = field(default_factory=dict)
    dividends: dict[date, float] = field(default_factory=dict)
    base_url: str = ""

    def ratio(self, day: date) -> float:
        ratio = 1.0
        for ex_date, (before, after) in self.splits.items():
            if ex_date > day:
                ratio *= after / before
        return ratio

    def chart(self, period1: int, period2: int) -> dict[str, Any]:
        def stamp(day: date) -> int:
            opening = datetime(day.year, day.month, day.day, 9, 30, tzinfo=UTC)
            return int(opening.timestamp()) - OFFSET

        shown = [n for n, day in enumerate(DAYS) if period1 <= stamp(day) < period2]
        adjusted = [self.closes[n] / self.ratio(DAYS[n]) for n in shown]
        quote = {
            "open": adjusted,
            "high": [price * 1.01 for price in adjusted],
            "low": [price * 0.99 for price in adjusted],
            "close": adjusted,
            "volume": [int(1200 * self.ratio(DAYS[n])) for n in shown],
        }
        for values in quote.values():
            if len(values) > 3:
                values[3] = None  # type: ignore[call-overload]
        return {
            "meta": {
                "currency": "USD",
                "exchangeName": "NMS",
                "gmtoffset": OFFSET,
                "longName": "Made up",
                "firstTradeDate": stamp(FIRST),
            },
            "timestamp": [stamp(DAYS[n]) for n in shown],
            "indicators": {"quote": [quote]},
            "events": {
                "splits": {
                    str(stamp(day)): {"date": stamp(day), "numerator": after, "denominator": before}
                    for day, (before, after) in self.splits.items()
                },
                "dividends": {
                    str(stamp(day)): {"date": stamp(day), "amount": amount / self.ratio(day)}
                    for day, amount in self.dividends.items()
                },
            },
        }


@contextmanager
def serving(yahoo: Yahoo) -> Iterator[None]:
    class Handler(ReplayHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            query = dict(parse_qsl(url.query))
            status, body = 200, {"result": None, "error": None}
            if url.path == f"/v8/finance/chart/{yahoo.symbol}":
                body["result"] = [yahoo.chart(int(query["period1"]), int(query["period2"]))]  # type: ignore[assignment]
            else:
                status = 404
                body["error"] = {"code": "Not Found", "description": "No data found"}  # type: ignore[assignment]
            self.send_body(status, json.dumps({"chart": body}).encode())

    with serve_handler(Handler) as base_url:
        yahoo.base_url = base_url
        yield


@pytest.fixture
def yahoo() -> Iterator[Yahoo]:
    server = Yahoo(
        symbol=f"Y{uuid4().hex[:6].upper()}",
        closes=[round(100 + number * 0.37, 2) for number in range(len(DAYS))],
        splits={DAYS[50]: (1, 4), DAYS[80]: (3, 2)},
        dividends={DAYS[20]: 0.55, DAYS[90]: 0.25},
    )
    with serving(server):
        yield server


@pytest.fixture
def settings(lake: Platform, yahoo: Yahoo, tmp_path: Path) -> Settings:
    return lake.settings.model_copy(
        update={
            "home": tmp_path,
            "yahoo": YahooSettings(base_url=yahoo.base_url),
            "http": HttpSettings(attempts=2, backoff_seconds=0.01, pause_seconds=0),
            "ingest": IngestSettings(start=FIRST),
        }
    )


def rows(settings: Settings, table: str, symbol: str) -> list[dict[str, Any]]:
    scan = open_catalog(settings.catalog, settings.s3).load_table(table)
    return scan.scan(f"symbol = '{symbol}'").to_arrow().to_pylist()


def test_as_traded_prices_come_back(settings: Settings, yahoo: Yahoo) -> None:
    report = ingest(Platform(settings), IngestRequest("yahoo", symbols=(yahoo.symbol,)))
    # The made-up prices do not fall at the 4:1 split, which is remarked upon.
    assert report.symbols == {yahoo.symbol: Counts(new=len(DAYS) - 1, flagged=1)}
    landed = {
        row["trade_date"]: (row["close"], row["volume"])
        for row in rows(settings, "raw.quotes", yahoo.symbol)
    }
    expected = {day: (close, 1200) for day, close in zip(DAYS, yahoo.closes, strict=True)}
    del expected[DAYS[3]]
    assert landed == expected
    assert {
        (row["ex_date"], row["ratio_before"], row["ratio_after"])
        for row in rows(settings, "raw.splits", yahoo.symbol)
    } == {(DAYS[50], 1.0, 4.0), (DAYS[80], 3.0, 2.0)}
    assert {
        row["record_date"]: row["amount"] for row in rows(settings, "raw.dividends", yahoo.symbol)
    } == yahoo.dividends
    names = [row["name"] for row in rows(settings, "raw.securities", yahoo.symbol)]
    assert names == ["Made up"]


def test_a_later_split_does_not_rewrite_history(settings: Settings, yahoo: Yahoo) -> None:
    request = IngestRequest("yahoo", symbols=(yahoo.symbol,), start=FIRST)
    ingest(Platform(settings), request)
    yahoo.splits[DAYS[110]] = (1, 5)
    report = ingest(Platform(settings), request)
    assert report.symbols[yahoo.symbol].corrected == 0
    assert report.tables["raw.splits"] == Counts(new=1, unchanged=2)


def test_an_unknown_symbol_is_named(settings: Settings, yahoo: Yahoo) -> None:
    with pytest.raises(UnknownSymbol, match="yahoo does not know 'NOSUCH': No data found"):
        ingest(Platform(settings), IngestRequest("yahoo", symbols=("NOSUCH",)))
    report = ingest(Platform(settings), IngestRequest("yahoo", symbols=("NOSUCH", yahoo.symbol)))
    assert (report.exit_code, list(report.failed)) == (1, ["NOSUCH"])
    assert len(rows(settings, "raw.quotes", yahoo.symbol)) == len(DAYS) - 1


def test_known_symbols_are_kept_up_without_naming_them(settings: Settings, yahoo: Yahoo) -> None:
    ingest(Platform(settings), IngestRequest("yahoo", symbols=(yahoo.symbol,), end=DAYS[100]))
    report = ingest(Platform(settings), IngestRequest("yahoo"))
    # Only 10 days back from the last; 19 new ones.
    assert report.symbols[yahoo.symbol].new == len(DAYS) - 101
    offline = settings.model_copy(update={"yahoo": YahooSettings(base_url="http://127.0.0.1:9")})
    with pytest.raises(SourceUnavailable, match="WEEKAHEAD_YAHOO__BASE_URL"):
        ingest(Platform(offline), IngestRequest("yahoo"))
