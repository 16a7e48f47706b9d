"""Undoing Yahoo's split adjustment, both ways; answers that are not what they should be."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.errors import BadPayload, UnknownSymbol
from lakehouse.sources.reader import Window
from lakehouse.sources.yahoo.chart import Split, as_traded, as_traded_volume, parse_chart

WINDOW = Window("AAPL", date(2024, 1, 1), date(2024, 12, 31))
NOW = datetime(2024, 6, 3, 15, tzinfo=UTC)
RATIOS = st.sampled_from([(1, 2), (1, 3), (1, 4), (2, 3), (1, 7), (1, 20), (10, 1), (8, 1)])
SPLITS = st.lists(st.tuples(st.dates(date(2020, 1, 1), date(2026, 1, 1)), RATIOS), max_size=4)


@given(
    cents=st.integers(1, 9_999_999),
    volume=st.integers(0, 10**9),
    day=st.dates(date(2020, 1, 1), date(2026, 1, 1)),
    splits=SPLITS,
)
def test_there_and_back(
    cents: int, volume: int, day: date, splits: list[tuple[date, tuple[int, int]]]
) -> None:
    known = [Split(ex_date, before, after) for ex_date, (before, after) in splits]
    ratio = 1.0
    for split in known:
        ratio *= split.after / split.before if split.day > day else 1.0
    price = cents / 100
    assert as_traded(price / ratio, day, known) == price
    assert as_traded_volume(volume * ratio, day, known) == volume


@given(cents=st.integers(100, 99_999))
def test_single_precision_leaves_no_trace(cents: int) -> None:
    adjusted = float(np.float32(cents / 100 / 4))
    split = [Split(date(2025, 1, 1), 1, 4)]
    assert as_traded(adjusted, date(2024, 1, 1), split) == pytest.approx(cents / 100, rel=2e-7)


def stamp(day: date, hour: int = 14) -> int:
    return int(datetime(day.year, day.month, day.day, hour, 30, tzinfo=UTC).timestamp())


def answer(days: list[date], **meta: Any) -> dict[str, Any]:
    prices = [10.0 + number for number in range(len(days))]
    quote = {name: list(prices) for name in ("open", "high", "low", "close")}
    result = {
        "meta": {"currency": "USD", "gmtoffset": -14400, **meta},
        "timestamp": [stamp(day) for day in days],
        "indicators": {"quote": [quote | {"volume": [100] * len(days)}]},
    }
    return {"chart": {"result": [result], "error": None}}


def dates(chart: Any) -> list[date]:
    found: list[date] = chart.quotes.column("trade_date").to_pylist()
    return found


def parse(sent: Any, window: Window = WINDOW) -> Any:
    return parse_chart(sent, window, now=NOW, where="host/path")


def test_bars_beyond_the_window_are_left_out() -> None:
    days = [date(2024, 5, 1) + timedelta(days=number) for number in range(5)]
    assert dates(parse(answer(days), Window("AAPL", days[1], days[3]))) == days[1:4]


def test_the_bar_of_an_open_session_is_left_out() -> None:
    days = [date(2024, 5, 31), date(2024, 6, 3)]
    regular = {"start": stamp(days[1], 13), "end": stamp(days[1], 20)}
    trading = {"currentTradingPeriod": {"regular": regular}}
    assert dates(parse(answer(days, **trading))) == days[:1]
    regular["end"] = int(NOW.timestamp())
    assert dates(parse(answer(days, **trading))) == days


def test_a_day_of_nulls_is_no_bar_and_a_single_null_is_kept_for_the_gate() -> None:
    days = [date(2024, 5, 1), date(2024, 5, 2)]
    sent = answer(days)
    quote = sent["chart"]["result"][0]["indicators"]["quote"][0]
    quote["close"][0] = None
    for values in quote.values():
        values[1] = None
    assert dates(parse(sent)) == days[:1]


def test_no_bars_at_all() -> None:
    assert dates(parse({"chart": {"result": [{"meta": {}}], "error": None}})) == []


def test_an_error_is_an_unknown_symbol() -> None:
    sent = {"chart": {"result": None, "error": {"code": "Not Found", "description": "delisted"}}}
    with pytest.raises(UnknownSymbol, match="'AAPL': delisted"):
        parse(sent)


@pytest.mark.parametrize(
    "sent",
    [
        None,
        [],
        {},
        {"chart": None},
        {"chart": {"result": []}},
        {"chart": {"result": [{"timestamp": [1, 2]}]}},
        {"chart": {"result": [{"timestamp": ["soon"]}]}},
    ],
)
def test_another_format_is_named(sent: Any) -> None:
    with pytest.raises(BadPayload, match="host/path"):
        parse(sent)


def test_columns_of_different_length_are_not_guessed_at() -> None:
    sent = answer([date(2024, 5, 1), date(2024, 5, 2)])
    sent["chart"]["result"][0]["indicators"]["quote"][0]["low"].pop()
    with pytest.raises(BadPayload, match="differ in number"):
        parse(sent)
