"""A daily build gives exactly what a build from scratch gives, and sees nothing of the future."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from catalog.connect import open_catalog
from catalog.snapshots import current_snapshots
from lakehouse.settings import Settings
from lakehouse.warehouse.client import connect
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


def _contents(settings: Settings) -> dict[str, pa.Table]:
    with connect(settings, "admin") as client:
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
    stack: Settings, market: Callable[[str, int], Market]
) -> None:
    exchange = market("increments", 7)
    random = np.random.default_rng(11)
    symbols = ["AA", "BB", "CC", "DD"]
    exchange.trade(symbols, 280)
    transform(stack)
    for step in range(4):
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
        assert not transform(stack).full_refresh
    incremental = _contents(stack)
    transform(stack, full_refresh=True)
    _assert_same(incremental, _contents(stack))


def test_features_do_not_change_with_what_comes_later(
    stack: Settings, market: Callable[[str, int], Market]
) -> None:
    exchange = market("truncated", 3)
    symbols = ["AA", "BB", "CC"]
    exchange.trade(symbols, 300)
    early = current_snapshots(open_catalog(stack.catalog, stack.s3))
    last = exchange.day
    exchange.trade(symbols, 30)
    exchange.price["AA"] /= 2
    exchange.trade(symbols, 1)
    exchange.split("AA", exchange.day)
    exchange.dividend("BB", exchange.dates[-5], 1.0)
    transform(stack)
    transform(stack, snapshots=early, databases=SCRATCH)
    where = f"source = 'truncated' AND trade_date <= '{last}'"
    with connect(stack, "admin") as client:
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


def test_an_unchanged_lake_needs_no_build(stack: Settings) -> None:
    transform(stack)
    snapshots = current_snapshots(open_catalog(stack.catalog, stack.s3))
    assert changed_sources(stack, snapshots) == set()
    assert changed_sources(stack, snapshots | {"raw.quotes": 1}) == {"raw.quotes"}
