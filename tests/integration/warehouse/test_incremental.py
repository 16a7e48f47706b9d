"""A daily build gives exactly what a build from scratch gives, and sees nothing of the future."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from catalog.snapshots import current_snapshots
from lakehouse.connections.clickhouse_client import connect
from lakehouse.findings import ACKNOWLEDGED, OPEN
from lakehouse.platform import Platform
from lakehouse.warehouse.transform import changed_sources, transform
from tests.integration.warehouse.market import Market

SCRATCH = {layer: f"scratch_{layer}" for layer in ("staging", "intermediate", "marts")}
BARS = ("*", "source, symbol, trade_date")
# What is read of each table, and in which order.
TABLES = {
    "marts.fct_quotes": BARS,
    "marts.fct_features": BARS,
    "marts.dim_symbol": ("*", "source, symbol"),
    # Sizes on disk depend on how parts came about.
    "marts.fct_data_health": (
        "if(metric = 'mart_bytes', 0, value) AS value, * EXCEPT (value, detail), "
        "if(metric = 'mart_bytes', '', detail) AS detail",
        "metric, source, subject, day",
    ),
    "intermediate.int_cross_section": BARS,
    "intermediate.int_symbol_years": (
        "arraySort(bitmapToArray(dates)) AS dates, * EXCEPT (dates)",
        "source, symbol, year",
    ),
    "intermediate.int_lake_files": ("*", "data_file"),
    "intermediate.int_targets": BARS,
}


def _contents(platform: Platform) -> dict[str, pa.Table]:
    with connect(platform.settings, "admin") as client:
        return {
            name: client.query_arrow(
                f"SELECT {columns} FROM {name} ORDER BY {key}", use_strings=True
            )
            for name, (columns, key) in TABLES.items()
        }


def _assert_same(left: dict[str, pa.Table], right: dict[str, pa.Table]) -> None:
    for name in left:
        for column in left[name].column_names:
            same = left[name][column].equals(right[name][column])
            assert same, f"{name}.{column} differs"


def test_increments_equal_a_full_refresh(
    stack: Platform, market: Callable[[str, int], Market]
) -> None:
    exchange = market("increments", 7)
    random = np.random.default_rng(11)
    symbols = ["AA", "BB", "CC", "DD"]
    exchange.trade(symbols, 280)
    transform(stack)
    for step in range(5):
        exchange.trade(symbols, int(random.integers(1, 4)))
        symbol = str(random.choice(symbols))
        day = exchange.dates[int(random.integers(20, len(exchange.dates)))]
        if step % 3 == 0:
            exchange.correct(symbol, day)
        elif step % 3 == 1:
            exchange.report_split()
        else:
            exchange.dividend(symbol, day, 0.5)
        if step == 2:
            symbols.append("NEW")
        if step in (1, 3):
            state = OPEN if step == 1 else ACKNOWLEDGED
            exchange.find("CC", exchange.dates[100], state=state)
        if step == 4:
            exchange.find("BB", exchange.dates[150])
        assert not transform(stack).full_refresh
    incremental = _contents(stack)
    transform(stack, full_refresh=True)
    _assert_same(incremental, _contents(stack))


def test_a_symbol_that_is_set_aside_changes_nothing_for_the_others(
    stack: Platform, market: Callable[[str, int], Market]
) -> None:
    compared = (
        "SELECT symbol, trade_date, rel_ret_5, market_ret_5, rank_ret_5, rank_volatility_21 "
        "FROM marts.fct_features WHERE source = 'aside' AND symbol != 'ODD' "
        "ORDER BY symbol, trade_date"
    )
    exchange = market("aside", 5)
    exchange.trade(["AA", "BB", "CC"], 80)
    without = _features(stack, compared)
    days = exchange.dates[:]
    exchange.write([exchange.bar("ODD", day) for day in days])
    before = _features(stack, compared)
    assert not before.equals(without)
    exchange.find("ODD", days[0])
    assert _features(stack, compared).equals(without)
    exchange.find("ODD", days[0], state=ACKNOWLEDGED)
    assert _features(stack, compared).equals(before)
    exchange.find("ODD", days[60], state=OPEN)
    since = pc.field("trade_date") >= pa.scalar(days[60])
    partly = _features(stack, compared)
    assert partly.filter(since).equals(without.filter(since))
    assert partly.filter(~since).equals(before.filter(~since))


def _features(platform: Platform, query: str) -> pa.Table:
    assert not transform(platform).full_refresh
    with connect(platform.settings, "admin") as client:
        return client.query_arrow(query, use_strings=True)


def test_symbols_are_held_against_the_calendar_of_their_exchange(
    stack: Platform, market: Callable[[str, int], Market]
) -> None:
    exchange = market("clocks", 9)
    exchange.trade(["HERE", "AWAY"], 20)
    days = exchange.dates
    exchange.calendar("clocks", dict.fromkeys(days, True))
    bars = [exchange.bar("CLOSED", day) for day in days if day != days[7]]
    exchange.write(bars + [exchange.bar("LAZY", day) for day in days if day != days[7]])
    exchange.keep_calendar("CLOSED", "XELS", {day: day != days[7] for day in days})
    transform(stack)
    with connect(stack.settings, "admin") as client:
        found = client.query(
            "SELECT subject, value FROM marts.fct_data_health WHERE source = 'clocks' "
            "AND metric IN ('missing_sessions', 'bars_on_closed_days') "
            "AND subject IN ('CLOSED', 'LAZY')"
        ).result_rows
    assert found == [("LAZY", 1.0)]


def test_features_do_not_change_with_what_comes_later(
    stack: Platform, market: Callable[[str, int], Market]
) -> None:
    exchange = market("truncated", 3)
    symbols = ["AA", "BB", "CC"]
    exchange.trade(symbols, 300)
    early = current_snapshots(stack.lake)
    last = exchange.day
    exchange.trade(symbols, 30)
    exchange.price["AA"] /= 2
    exchange.trade(symbols, 1)
    exchange.split("AA", exchange.day)
    exchange.dividend("BB", exchange.dates[-5], 1.0)
    transform(stack)
    transform(stack, snapshots=early, databases=SCRATCH)
    where = f"source = 'truncated' AND trade_date <= '{last}'"
    with connect(stack.settings, "admin") as client:
        now, then = (
            client.query_arrow(
                f"SELECT * FROM {database}.fct_features WHERE {where} ORDER BY symbol, trade_date",
                use_strings=True,
            )
            for database in ("marts", SCRATCH["marts"])
        )
        adjusted = client.query_np(
            "SELECT min(split_factor) FROM marts.fct_quotes "
            "WHERE source = 'truncated' AND symbol = 'AA'"
        )
    assert now.num_rows == then.num_rows > 800
    assert now.equals(then)
    assert float(adjusted[0][0]) == pytest.approx(0.5)


def test_an_unchanged_lake_needs_no_build(stack: Platform) -> None:
    transform(stack)
    snapshots = current_snapshots(stack.lake)
    assert changed_sources(stack, snapshots) == set()
    assert changed_sources(stack, snapshots | {"raw.quotes": 1}) == {"raw.quotes"}
