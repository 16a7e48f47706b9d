"""The gate against a slow and obvious version of itself."""

import math
from collections import Counter
from datetime import date, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.landing.quality import Expectation, check_quotes
from lakehouse.sources.reader import QUOTES_SCHEMA, SPLITS_SCHEMA

START, END, TODAY = date(2024, 1, 1), date(2024, 1, 31), date(2024, 1, 20)


def expectation(**changes: Any) -> Expectation:
    values: dict[str, Any] = {
        "start": START,
        "end": END,
        "today": TODAY,
        "symbols": frozenset({"A", "B"}),
        "splits": SPLITS_SCHEMA.empty_table(),
        "jump_limit": 0.5,
    }
    return Expectation(**(values | changes))


def bar(**changes: Any) -> dict[str, Any]:
    values = {
        "source": "test",
        "symbol": "A",
        "trade_date": START,
        "open": 10.0,
        "high": 12.0,
        "low": 9.0,
        "close": 11.0,
        "volume": 5,
    }
    return values | changes


def check(rows: list[dict[str, Any]], **changes: Any) -> Any:
    return check_quotes(pa.Table.from_pylist(rows, schema=QUOTES_SCHEMA), expectation(**changes))


def judged(row: dict[str, Any], silent: set[Any]) -> str | None:
    """The rule that a single row breaks, written out naively."""
    prices = [row[name] for name in ("high", "low", "close")]
    if row.get("malformed"):
        return "type"
    if None in (row["symbol"], row["trade_date"], *prices):
        return "missing"
    if row["volume"] is None and row["symbol"] not in silent:
        return "missing"
    # A missing or zero open is kept and flagged.
    opened = row["open"] or row["close"]
    prices.append(opened)
    if row["symbol"] not in ("A", "B"):
        return "unknown_symbol"
    if row["trade_date"] > TODAY:
        return "future"
    if not START <= row["trade_date"] <= END:
        return "out_of_range"
    if not all(math.isfinite(price) and price > 0 for price in prices):
        return "positive_price"
    if not row["low"] <= min(opened, row["close"]) <= max(opened, row["close"]) <= row["high"]:
        return "price_range"
    return "volume" if (row["volume"] or 0) < 0 else None


PRICE = st.one_of(st.sampled_from([None, 0.0, -1.0, math.nan, math.inf]), st.floats(1, 100))
BAR = st.fixed_dictionaries(
    {
        "source": st.just("test"),
        "symbol": st.sampled_from(["A", "B", "A", "B", "C", None]),
        "trade_date": st.one_of(
            st.none(), st.dates(START, TODAY), st.dates(date(2023, 12, 25), date(2024, 2, 5))
        ),
        "open": PRICE,
        "high": st.one_of(PRICE, st.just(200.0)),
        "low": st.one_of(PRICE, st.just(0.5)),
        "close": PRICE,
        "volume": st.sampled_from([0, 1, 10**12, -1, None]),
        "malformed": st.sampled_from([None, None, None, '{"a": 1}']),
    }
)


@settings(max_examples=150, deadline=None)
@given(st.lists(BAR, max_size=30))
def test_the_gate_judges_as_one_would_by_hand(rows: list[dict[str, Any]]) -> None:
    verdict = check(rows)
    plain = [row | {"open": row["open"] or None} for row in rows]
    distinct = {repr(row): row for row in plain}.values()
    # A symbol without any volume at all is an index.
    silent = {row["symbol"] for row in distinct} - {
        row["symbol"] for row in distinct if row["volume"] is not None
    }
    key = [(row["symbol"], row["trade_date"]) for row in distinct]
    expected = Counter(
        judged(row, silent)
        or ("duplicate" if key.count((row["symbol"], row["trade_date"])) > 1 else None)
        for row in distinct
    )
    accepted = expected.pop(None, 0)
    assert verdict.accepted.num_rows == accepted
    assert Counter(verdict.rejected.column("rule").to_pylist()) == expected
    assert verdict.checked == len(distinct)


def test_copies_count_once() -> None:
    verdict = check([bar(), bar()])
    assert (verdict.accepted.num_rows, verdict.rejected.num_rows, verdict.checked) == (1, 0, 1)


def test_no_rows_at_all() -> None:
    verdict = check([])
    assert (verdict.checked, verdict.accepted.num_rows, verdict.refused) == (0, 0, {})


def closes(*values: float) -> list[dict[str, Any]]:
    return [
        bar(
            trade_date=START + timedelta(days=number),
            open=value,
            high=value,
            low=value,
            close=value,
        )
        for number, value in enumerate(values)
    ]


def split(day: date, before: float, after: float) -> pa.Table:
    row = {
        "source": "test",
        "symbol": "A",
        "ex_date": day,
        "ratio_before": before,
        "ratio_after": after,
    }
    return pa.Table.from_pylist([row], schema=SPLITS_SCHEMA)


DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("values", "splits", "flagged"),
    [
        ((100, 101, 50, 51), None, [START + 2 * DAY]),
        ((100, 101, 50, 51), split(START + 2 * DAY, 1, 2), []),
        ((100, 101, 50, 51), split(START + DAY, 1, 2), [START + DAY, START + 2 * DAY]),
        ((100, 1000), split(START + DAY, 10, 1), []),
        ((100, 100), split(START + DAY, 1, 2), [START + DAY]),
    ],
)
def test_a_jump_is_flagged_unless_a_split_explains_it(
    values: tuple[float, ...], splits: pa.Table | None, flagged: list[date]
) -> None:
    known = SPLITS_SCHEMA.empty_table() if splits is None else splits
    verdict = check(closes(*values), splits=known)
    assert verdict.accepted.num_rows == len(values)
    assert verdict.flagged.column("trade_date").to_pylist() == flagged


def test_a_jump_between_symbols_is_none() -> None:
    rows = closes(100, 101)
    rows[1]["symbol"] = "B"
    rows[1] |= dict.fromkeys(("open", "high", "low", "close"), 5.0)
    assert check(rows).flagged.num_rows == 0
