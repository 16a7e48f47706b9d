"""Quotes as they come: Yahoo's oddities, made up in its format, through to lake and findings."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest

from catalog.connect import open_catalog
from lakehouse import findings
from lakehouse.errors import BadPayload, UnknownSymbol
from lakehouse.findings import Finding, list_findings
from lakehouse.landing.ingest import ingest
from lakehouse.landing.rejects import list_rejects
from lakehouse.landing.request import Counts, IngestReport, IngestRequest
from lakehouse.platform import Platform
from lakehouse.settings import Settings
from lakehouse.settings.sources import HttpSettings, IngestSettings, YahooSettings
from lakehouse.sources.exchanges import sessions
from lakehouse.sources.sample.replay import ReplayHandler, serve_handler

FIRST = date(2026, 6, 1)
TODAY = datetime.now(UTC).date()
NEW_YORK = "America/New_York"
DAYS = list(sessions("XNYS", FIRST, date(2026, 11, 20)))
Answer = dict[str, Any] | bytes


def stamp(day: date, hour: int = 9, minute: int = 30, zone: str = NEW_YORK) -> int:
    return int(datetime.combine(day, time(hour, minute), ZoneInfo(zone)).timestamp())


def chart(
    closes: dict[date, float | None],
    *,
    stamps: list[Any] | None = None,
    zone: str = NEW_YORK,
    events: dict[str, Any] | None = None,
    adjclose: list[float] | None = None,
    **meta: Any,
) -> dict[str, Any]:
    """An answer with these closes; open, high and low lie around them."""
    values = list(closes.values())
    quote: dict[str, list[Any]] = {
        "open": list(values),
        "high": [value and value * 1.01 for value in values],
        "low": [value and value * 0.99 for value in values],
        "close": values,
        "volume": [1000] * len(values),
    }
    indicators: dict[str, Any] = {"quote": [quote]}
    if adjclose:
        indicators["adjclose"] = [{"adjclose": adjclose}]
    known = {"currency": "USD", "instrumentType": "EQUITY", "exchangeTimezoneName": zone}
    result = {
        "meta": known | {"dataGranularity": "1d"} | meta,
        "timestamp": stamps or [stamp(day, zone=zone) for day in closes],
        "indicators": indicators,
        "events": events or {},
    }
    return {"chart": {"result": [result], "error": None}}


def split(day: date, before: float, after: float) -> dict[str, Any]:
    event = {"date": stamp(day), "numerator": after, "denominator": before}
    return {"splits": {str(stamp(day)): event}}


def level(days: list[date], price: float = 100.0) -> dict[date, float | None]:
    return {day: round(price * (1 + 0.001 * (n % 7)), 4) for n, day in enumerate(days)}


def quotes(answer: dict[str, Any]) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = answer["chart"]["result"][0]["indicators"]["quote"][0]
    return columns


@dataclass
class Yahoo:
    """Answers by symbol; what is not there is unknown. Names are unique, for the lake is shared."""

    base_url: str = ""
    mark: str = field(default_factory=lambda: uuid4().hex[:6].upper())
    answers: dict[str, Answer] = field(default_factory=dict)
    statuses: dict[str, list[int]] = field(default_factory=dict)
    asked: list[tuple[str, date]] = field(default_factory=list)

    def add(self, name: str, answer: Answer) -> str:
        symbol = f"{self.mark}{name}"
        self.answers[symbol] = answer
        return symbol

    def reply(self, symbol: str, start: int) -> tuple[int, bytes]:
        # A day earlier is asked for than is wanted, for the sake of the east.
        self.asked.append((symbol, datetime.fromtimestamp(start, UTC).date() + timedelta(days=1)))
        if status := next(iter(self.statuses.get(symbol, [])), None):
            self.statuses[symbol].pop(0)
            return status, b"{}"
        answer = self.answers.get(symbol)
        if answer is None:
            error = {"code": "Not Found", "description": "No data found"}
            return 404, json.dumps({"chart": {"result": None, "error": error}}).encode()
        return 200, answer if isinstance(answer, bytes) else _cut(answer, start)


def _cut(answer: dict[str, Any], start: int) -> bytes:
    """The answer from a stamp on, as Yahoo sends it."""
    answer = json.loads(json.dumps(answer))
    result = answer["chart"]["result"][0]
    kept = [n for n, at in enumerate(result["timestamp"]) if at >= start]
    result["timestamp"] = [result["timestamp"][n] for n in kept]
    for blocks in result["indicators"].values():
        blocks[0].update({name: [values[n] for n in kept] for name, values in blocks[0].items()})
    for kind, events in result["events"].items():
        result["events"][kind] = {k: e for k, e in events.items() if e["date"] >= start}
    return json.dumps(answer).encode()


@pytest.fixture
def yahoo() -> Iterator[Yahoo]:
    server = Yahoo()

    class Handler(ReplayHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            symbol = unquote(url.path.rpartition("/")[2])
            status, body = server.reply(symbol, int(dict(parse_qsl(url.query))["period1"]))
            self.send_body(status, body)

    with serve_handler(Handler) as base_url:
        server.base_url = base_url
        yield server


@pytest.fixture
def settings(lake: Platform, yahoo: Yahoo, tmp_path: Path) -> Settings:
    return lake.settings.model_copy(
        update={
            "home": tmp_path,
            "yahoo": YahooSettings(base_url=yahoo.base_url),
            "http": HttpSettings(attempts=1, backoff_seconds=0.01, pause_seconds=0),
            "ingest": IngestSettings(start=FIRST),
        }
    )


def read(settings: Settings, *symbols: str, **dates: date) -> IngestReport:
    return ingest(Platform(settings), IngestRequest("yahoo", symbols=symbols, **dates))


def landed(settings: Settings, symbol: str, column: str = "close") -> dict[date, Any]:
    table = open_catalog(settings.catalog, settings.s3).load_table("raw.quotes")
    rows = table.scan(f"symbol = '{symbol}'").to_arrow().to_pylist()
    return {row["trade_date"]: row[column] for row in sorted(rows, key=lambda r: r["trade_date"])}


def found(settings: Settings, symbol: str, state: str = findings.OPEN) -> dict[str, list[Finding]]:
    """Findings of a symbol by rule; those of symbols that stay behind are not asked for here."""
    catalog = open_catalog(settings.catalog, settings.s3)
    by_rule: dict[str, list[Finding]] = {}
    for finding in list_findings(catalog, source="yahoo", symbol=symbol, state=state):
        if finding.rule != findings.STALE_SYMBOL:
            by_rule.setdefault(finding.rule, []).append(finding)
    return by_rule


def rules(settings: Settings, symbol: str) -> dict[str, int]:
    catalog = open_catalog(settings.catalog, settings.s3)
    counts: dict[str, int] = {}
    for reject in list_rejects(catalog, "yahoo", symbol=symbol):
        counts[reject.rule] = counts.get(reject.rule, 0) + 1
    return counts


def test_one_broken_answer_costs_its_symbol_or_its_row(settings: Settings, yahoo: Yahoo) -> None:
    good = yahoo.add("GOOD", chart(level(DAYS)))
    volume = json.dumps(chart(level(DAYS))).replace("1000]", "1e999]", 1).encode()
    nanos = chart(level(DAYS))
    nanos["chart"]["result"][0]["timestamp"][-1] = 10**18
    deep = b'{"chart":' + b"[" * 200_000 + b"]" * 200_000 + b"}"
    nonsense = chart(level(DAYS), currency={"a": 1}, exchangeName=7, firstTradeDate="soon")
    digits = json.dumps(chart(level(DAYS))).replace("1000]", "1" + "0" * 400 + "]", 1).encode()
    rows = [
        yahoo.add(name, answer)
        for name, answer in (("VOL", volume), ("NANO", json.dumps(nanos).encode()), ("DIG", digits))
    ]
    odd = yahoo.add("ODD", nonsense)
    broken = [
        yahoo.add("DEEP", deep),
        yahoo.add("META", chart(level(DAYS), dataGranularity="1mo")),
        yahoo.add("LIST", {"chart": {"result": [{"meta": [1], "timestamp": 3}]}}),
        yahoo.add("SURR", json.dumps(chart(level(DAYS), longName="\ud800")).encode()),
    ]
    report = read(settings, *broken, *rows, good, odd)
    assert set(report.failed) == set(broken)
    assert "asked for 1d, got 1mo" in report.failed[broken[1]]
    for symbol in broken:
        assert symbol in report.failed[symbol]
    assert report.symbols[good] == report.symbols[odd] == Counts(new=len(DAYS))
    for symbol in rows:
        assert report.symbols[symbol] == Counts(new=len(DAYS) - 1, rejected=1)
        assert rules(settings, symbol) == {"type": 1}


def test_trading_dates_are_the_exchange_s(settings: Settings, yahoo: Yahoo) -> None:
    days = sessions("24/5", date(2026, 10, 19), date(2026, 10, 30))
    midnights = [stamp(day, 0, 0, "Europe/London") for day in days]
    # Midnight in summer, stamped with the winter's offset.
    shifted = [
        at - 3600 if day < date(2026, 10, 25) else at
        for day, at in zip(days, midnights, strict=True)
    ]
    pair = yahoo.add("EURUSD=X", chart(
        level(list(days), 1.1), stamps=midnights, zone="Europe/London", gmtoffset=0,
        instrumentType="CURRENCY",
    ))  # fmt: skip
    late = yahoo.add("GBPUSD=X", chart(
        level(list(days), 1.3), stamps=shifted, zone="Europe/London", instrumentType="CURRENCY",
    ))  # fmt: skip
    read(settings, pair, late, start=days[0])
    assert list(landed(settings, pair)) == list(landed(settings, late)) == list(days)


def test_the_live_row_beside_the_last_bar_holds(settings: Settings, yahoo: Yahoo) -> None:
    closes = level(DAYS[-5:])
    last = DAYS[-1]
    answer = chart(closes, stamps=[*map(stamp, closes), stamp(last, 16, 0)][: len(closes) + 1])
    for name, values in quotes(answer).items():
        values.append(101.5 if name != "volume" else 2000)
    quotes(answer)["high"][-1] = 103.0
    symbol = yahoo.add("TWO", answer)
    assert read(settings, symbol).symbols[symbol] == Counts(new=5)
    assert landed(settings, symbol)[last] == 101.5


def test_a_session_that_goes_on_has_no_bar(settings: Settings, yahoo: Yahoo) -> None:
    coin = yahoo.add("BTC-USD", chart(
        level([TODAY - timedelta(days=n) for n in (2, 1, 0)]), zone="UTC",
        stamps=[stamp(TODAY - timedelta(days=n), 0, 0, "UTC") for n in (2, 1, 0)],
        instrumentType="CRYPTOCURRENCY",
    ))  # fmt: skip
    read(settings, coin, start=TODAY - timedelta(days=10))
    assert TODAY not in landed(settings, coin)
    assert TODAY - timedelta(days=1) in landed(settings, coin)


def test_a_bad_day_of_all_costs_that_day_and_is_asked_for_again(
    settings: Settings, yahoo: Yahoo
) -> None:
    days = DAYS[-8:]
    symbols = []
    for name in "ABCDE":
        answer = chart(level(days))
        for values in quotes(answer).values():
            values[2] = None
        quotes(answer)["volume"][2] = 40626435
        symbols.append(yahoo.add(name, answer))
    report = read(settings, *symbols)
    assert (report.exit_code, set(report.symbols.values())) == (0, {Counts(new=7, rejected=1)})
    # The look-back does not reach that day any more, and still it is asked for.
    later = [*days, *sessions("XNYS", date(2026, 11, 23), TODAY - timedelta(days=1))]
    short = settings.model_copy(update={"ingest": IngestSettings(start=FIRST, lookback_days=0)})
    for symbol in symbols:
        yahoo.answers[symbol] = chart(level(later))
    report = read(short, *symbols)
    for symbol in symbols:
        assert list(landed(settings, symbol)) == later
    assert all(reject.status == "superseded" for symbol in symbols for reject in list_rejects(
        open_catalog(settings.catalog, settings.s3), "yahoo", symbol=symbol))  # fmt: skip


def test_the_verdict_on_a_symbol_does_not_depend_on_its_neighbours(
    settings: Settings, yahoo: Yahoo
) -> None:
    answer = chart(level(DAYS))
    quotes(answer)["low"][::3] = [1e6] * len(quotes(answer)["low"][::3])
    bad, good = (
        yahoo.add("BAD", answer),
        [yahoo.add(f"G{n}", chart(level(DAYS, 10.0 + n))) for n in range(4)],
    )
    report = read(settings, bad, *good)
    assert list(report.failed) == [bad] and landed(settings, bad) == {}
    with pytest.raises(Exception, match="break a rule") as alone:
        read(settings, bad)
    assert str(alone.value) == report.failed[bad]


def test_early_bars_without_an_open_and_indices_without_volume(
    settings: Settings, yahoo: Yahoo
) -> None:
    old, index = chart(level(DAYS)), chart(level(DAYS), instrumentType="INDEX")
    quotes(old)["open"][:10] = [0.0] * 10
    quotes(index)["volume"][:50] = [None] * 50
    share, level_of = yahoo.add("OLD", old), yahoo.add("^IDX", index)
    report = read(settings, share, level_of)
    assert report.symbols[share] == Counts(new=len(DAYS), flagged=10)
    assert report.symbols[level_of] == Counts(new=len(DAYS))
    assert list(landed(settings, share, "open").values())[:10] == [None] * 10
    assert list(landed(settings, level_of, "volume").values())[:50] == [None] * 50


def test_a_split_that_is_listed_before_it_is_applied(settings: Settings, yahoo: Yahoo) -> None:
    ex = DAYS[-6]
    traded = {day: (200.0 if day < ex else 40.0) + n * 0.1 for n, day in enumerate(DAYS)}
    adjusted = {day: price / (5 if day < ex else 1) for day, price in traded.items()}
    symbol = yahoo.add("SPL", chart(dict(list(traded.items())[:-6])))
    read(settings, symbol, end=DAYS[-7])
    states = [(traded, -5), (traded, -4), (adjusted, -2), (adjusted, None)]
    for closes, until in states:
        known = dict(list(closes.items())[:until])
        yahoo.answers[symbol] = chart(known, events=split(ex, 1, 5))
        read(settings, symbol)
        assert landed(settings, symbol) == pytest.approx({d: traded[d] for d in known})
    assert findings.SPLIT_NOT_APPLIED in found(settings, symbol, findings.MENDED)
    assert set(found(settings, symbol)) == set()


def test_a_past_that_is_rescaled_is_read_again_and_no_other(
    settings: Settings, yahoo: Yahoo
) -> None:
    calm, moved = yahoo.add("CALM", chart(level(DAYS))), yahoo.add("MOVED", chart(level(DAYS)))
    read(settings, calm, moved)
    # The whole past is divided by three, and no split is listed.
    yahoo.answers[moved] = chart(level(DAYS, 100.0 / 3))
    yahoo.asked.clear()
    report = read(settings, calm, moved)
    assert landed(settings, moved) == pytest.approx(level(DAYS, 100.0 / 3), abs=1e-4)
    assert report.symbols[moved].corrected == len(DAYS)
    assert [symbol for symbol, start in yahoo.asked if start == FIRST] == [moved]
    assert set(found(settings, moved)) == set()


def test_a_missing_session_is_asked_for_until_it_is_there(settings: Settings, yahoo: Yahoo) -> None:
    gap = DAYS[30:32]
    holed = {day: price for day, price in level(DAYS).items() if day not in gap}
    symbol = yahoo.add("GAP", chart(holed))
    read(settings, symbol)
    [finding] = found(settings, symbol)[findings.MISSING_SESSIONS]
    assert (finding.first_date, finding.last_date) == tuple(gap)
    yahoo.asked.clear()
    read(settings, symbol)
    assert yahoo.asked == [(symbol, gap[0])]
    yahoo.answers[symbol] = chart(level(DAYS))
    report = read(settings, symbol)
    # What lies between the gap and the look-back is not landed again.
    assert report.symbols[symbol].new == 2 and report.symbols[symbol].unchanged < 12
    assert list(landed(settings, symbol)) == DAYS
    assert found(settings, symbol) == {}
    yahoo.asked.clear()
    read(settings, symbol)
    assert yahoo.asked[0][1] > DAYS[-12]


def test_actions_that_cannot_be_right_are_put_aside(settings: Settings, yahoo: Yahoo) -> None:
    nothing = {"splits": {"1": {"date": stamp(DAYS[5]), "numerator": 1, "denominator": 0}}}
    zero = yahoo.add("ZERO", chart(level(DAYS), events=nothing))
    paid = {
        "a": {"date": stamp(DAYS[10]), "amount": 0.24},
        "b": {"date": stamp(DAYS[10]) + 60, "amount": 0.25},
        "c": {"date": stamp(date(2111, 3, 1)), "amount": 1.0},
        "d": {"date": stamp(DAYS[20]), "amount": 0.3},
        "e": {"date": stamp(DAYS[30]), "amount": "much"},
    }
    payer = yahoo.add("PAY", chart(level(DAYS), events={"dividends": paid}))
    report = read(settings, zero, payer)
    assert report.failed == {}
    assert {report.symbols[zero], report.symbols[payer]} == {Counts(new=len(DAYS))}
    assert rules(settings, zero) == {"type": 1}
    table = open_catalog(settings.catalog, settings.s3).load_table("raw.dividends")
    rows = table.scan(f"symbol = '{payer}'").to_arrow().to_pylist()
    amounts = {row["record_date"]: row["amount"] for row in rows}
    assert amounts == {DAYS[10]: 0.25, DAYS[20]: 0.3}
    assert set(found(settings, payer)) == {findings.DIVIDENDS_DIFFER, findings.FAR_FUTURE}


def test_dividends_in_another_unit(settings: Settings, yahoo: Yahoo) -> None:
    days = [DAYS[20], DAYS[60]]
    events = {
        "dividends": {str(n): {"date": stamp(day), "amount": 30.0} for n, day in enumerate(days)}
    }
    closes = level(DAYS)
    factors = [math.prod(0.997 for ex in days if ex > day) for day in closes]
    adjusted = [close * factor for close, factor in zip(closes.values(), factors, strict=True)]  # type: ignore[operator]
    pence = yahoo.add("PENCE", chart(closes, events=events, adjclose=adjusted))
    fine = {"dividends": {"0": {"date": stamp(days[1]), "amount": 2.0}}}
    other = [close * (0.98 if day < days[1] else 1) for day, close in closes.items()]  # type: ignore[operator]
    pound = yahoo.add("POUND", chart(closes, events=fine, adjclose=other))
    read(settings, pence, pound)
    wrong = found(settings, pence)[findings.DIVIDEND_OUT_OF_PROPORTION]
    assert [finding.first_date for finding in wrong] == days
    assert "adjusted close says 0.3%" in wrong[0].seen
    assert found(settings, pound) == {}


def series(*parts: tuple[int, float]) -> dict[date, float | None]:
    prices = [price for count, price in parts for _ in range(count)]
    return dict(zip(DAYS[: len(prices)], prices, strict=True))


ODD = {
    "PENNY": (series((40, 50.0), (40, 5000.0)), {}, findings.LEVEL_SWITCH),
    "TEN": (series((40, 50.0), (1, 5.0), (40, 50.0)), {}, findings.LEVEL_SWITCH),
    "UNLISTED": (series((40, 100.0), (40, 50.0)), {}, findings.UNLISTED_SPLIT),
    "CONSOL": (series((40, 2.0), (40, 16.0)), {}, findings.UNLISTED_SPLIT),
    "CRASH": (series((40, 100.0), (40, 43.0)), {}, findings.JUMP),
    "STILL": (series((80, 100.0)), split(DAYS[40], 1, 4), findings.SPLIT_CONTRADICTED),
}


def test_levels_that_switch_and_splits_that_do_not_fit(settings: Settings, yahoo: Yahoo) -> None:
    symbols = {}
    for name, (closes, events, _) in ODD.items():
        # As Yahoo shows a series of traded prices that it divides by the listed splits.
        ratio = next((e["numerator"] for e in events.get("splits", {}).values()), 1)
        shown = {d: c / ratio if d < DAYS[40] else c for d, c in closes.items()}  # type: ignore[operator]
        symbols[name] = yahoo.add(name, chart(shown, events=events))
    report = read(settings, *symbols.values())
    assert report.failed == {}
    for name, (_, _, rule) in ODD.items():
        finding, *_ = found(settings, symbols[name])[rule]
        assert finding.first_date == DAYS[40], name
        severe = rule != findings.JUMP
        assert (finding.severity == findings.SEVERE) == severe, name
    [twin] = found(settings, symbols["UNLISTED"])[findings.UNLISTED_SPLIT]
    assert twin.proposal == f"yahoo,{symbols['UNLISTED']},{DAYS[40]},1,2,seen in the prices"


def test_a_jump_is_seen_against_the_bar_before_the_load(settings: Settings, yahoo: Yahoo) -> None:
    closes = level(DAYS)
    symbol = yahoo.add("JUMP", chart(dict(list(closes.items())[:-1])))
    read(settings, symbol)
    yahoo.answers[symbol] = chart(closes | {DAYS[-1]: 9.99})
    daily = settings.model_copy(update={"ingest": IngestSettings(start=FIRST, lookback_days=0)})
    read(daily, symbol, start=DAYS[-1])
    [finding] = found(settings, symbol)[findings.UNLISTED_SPLIT]
    assert finding.first_date == DAYS[-1]


def test_symbols_are_asked_for_as_they_are(settings: Settings, yahoo: Yahoo) -> None:
    names = ["M&M.NS", "^GSPC", "BRK-B", "0700.HK", "DX-Y.NYB"]
    symbols = [yahoo.add(name, chart(level(DAYS))) for name in names]
    assert set(read(settings, *symbols).symbols) == set(symbols)
    with pytest.raises(UnknownSymbol, match="with a hyphen: BRK-B"):
        read(settings, "BRK.B")
    with pytest.raises(BadPayload, match="1mo"):
        read(settings, yahoo.add("M", chart(level(DAYS), dataGranularity="1mo")))


def test_each_exchange_has_its_calendar(settings: Settings, yahoo: Yahoo) -> None:
    hong_kong = sessions("XHKG", DAYS[0], DAYS[-1])
    every_day = [DAYS[0] + timedelta(days=n) for n in range((DAYS[-1] - DAYS[0]).days + 1)]
    share = yahoo.add("S", chart(level(DAYS)))
    coin = yahoo.add("C-USD", chart(level(every_day), instrumentType="CRYPTOCURRENCY", zone="UTC",
                     stamps=[stamp(day, 0, 0, "UTC") for day in every_day]))  # fmt: skip
    other = yahoo.add("0700.HK", chart(level(list(hong_kong)), zone="Asia/Hong_Kong"))
    report = read(settings, share, coin, other)
    assert report.failed == {}
    for symbol in (share, coin, other):
        assert findings.MISSING_SESSIONS not in found(settings, symbol)
    catalog = open_catalog(settings.catalog, settings.s3)
    rows = catalog.load_table("raw.symbol_calendars").scan().to_arrow().to_pylist()
    names = {row["symbol"]: row["calendar"] for row in rows}
    assert (names.get(share), names[coin], names[other]) == (None, "24/7", "XHKG")
    calendar = catalog.load_table("raw.calendar").scan("source = 'XHKG'").to_arrow().to_pylist()
    holiday = next(row for row in calendar if row["trade_date"] == date(2026, 10, 1))
    assert not holiday["is_open"]


def test_what_fails_for_a_passing_reason_gets_a_second_chance(
    settings: Settings, yahoo: Yahoo
) -> None:
    symbols = [yahoo.add(name, chart(level(DAYS))) for name in "AB"]
    yahoo.statuses[symbols[0]] = [503]
    report = read(settings, *symbols)
    assert (report.failed, set(report.symbols)) == ({}, set(symbols))


def test_findings_are_acknowledged_exported_and_imported(
    settings: Settings, yahoo: Yahoo, tmp_path: Path
) -> None:
    from lakehouse.findings_csv import import_csv, write_csv

    symbol = yahoo.add("ACK", chart(series((40, 50.0), (40, 5000.0))))
    read(settings, symbol)
    catalog = open_catalog(settings.catalog, settings.s3)
    chosen = list_findings(catalog, symbol=symbol, rule=findings.LEVEL_SWITCH)
    findings.acknowledge(catalog, chosen, by="me", why="their currency changed")
    read(settings, symbol, start=FIRST)
    [decided] = found(settings, symbol, findings.ACKNOWLEDGED)[findings.LEVEL_SWITCH]
    assert (decided.acknowledged_by, decided.acknowledged_why) == ("me", "their currency changed")
    path = tmp_path / "findings.csv"
    with path.open("w") as file:
        write_csv(list_findings(catalog), file)
    with path.open() as file:
        assert import_csv(catalog, file, path.name) == 0
    path.write_text(path.read_text().replace("their currency changed", "new shares"))
    with path.open() as file:
        assert import_csv(catalog, file, path.name) == 1
    [decided] = found(settings, symbol, findings.ACKNOWLEDGED)[findings.LEVEL_SWITCH]
    assert decided.acknowledged_why == "new shares"
