"""Prices around corporate actions, against series that were worked out by hand."""

from collections.abc import Callable
from datetime import date

import pytest

from lakehouse.connections.clickhouse_client import connect
from lakehouse.platform import Platform
from lakehouse.warehouse.transform import transform
from tests.integration.warehouse.market import Market

# A Monday to a Thursday, unless a series says otherwise.
DAYS = [date(2024, 6, 3), date(2024, 6, 4), date(2024, 6, 5), date(2024, 6, 6)]

# Closes as traded; splits as (day, new shares for one); dividends as (day, amount per share of that
# day); and what follows: closes in today's shares, and closes of a holder who reinvests.
SERIES = {
    "SPLIT": ([100, 102, 51, 52], [(2, 2.0)], [], [50, 51, 51, 52], [50, 51, 51, 52]),
    "REVERSE": ([1, 1.5, 15, 16], [(2, 0.1)], [], [10, 15, 15, 16], [10, 15, 15, 16]),
    # 2 of 100 are 2 %: what came before is worth 98 % of its price to a holder of today.
    "DIVIDEND": ([99, 100, 98, 98], [], [(2, 2.0)], [99, 100, 98, 98], [97.02, 98, 98, 98]),
    # The dividend is paid per new share: 1 of 50, which are 2 % again.
    "BOTH": ([100, 100, 49, 50], [(2, 2.0)], [(2, 1.0)], [50, 50, 49, 50], [49, 49, 49, 50]),
    # 3:1 and 2:1 on following days: six new shares for one of the first two days.
    "ROW": (
        [600, 600, 200, 100],
        [(2, 3.0), (3, 2.0)],
        [],
        [100, 100, 100, 100],
        [100, 100, 100, 100],
    ),
    # 1 % twice: 0.99 once on the second day, 0.99 squared on the first.
    "PAYER": (
        [100, 100, 100, 100],
        [],
        [(1, 1.0), (2, 1.0)],
        [100, 100, 100, 100],
        [98.01, 99, 100, 100],
    ),
    # A quarter of the company is handed to its holders: sources list it as a dividend of its price
    # (25 of 100), or as a split by the share that is left (4 new for 3 old).
    "SPUNOFF": ([96, 100, 75, 75], [], [(2, 25.0)], [96, 100, 75, 75], [72, 75, 75, 75]),
    "SPUNSPLIT": ([96, 100, 75, 75], [(2, 4 / 3)], [], [72, 75, 75, 75], [72, 75, 75, 75]),
    # A source that knows closes only, and a price that does not move.
    "BARE": ([100, 100, 50, 50], [(2, 2.0)], [], [50, 50, 50, 50], [50, 50, 50, 50]),
    # Ahead of its ex-date nothing is adjusted; nor by what would pay out the whole price.
    "ANNOUNCED": (
        [100, 100, 100, 100],
        [(30, 2.0)],
        [(31, 1.0)],
        [100, 100, 100, 100],
        [100, 100, 100, 100],
    ),
    "ABSURD": ([10, 10, 10, 10], [], [(2, 10.0)], [10, 10, 10, 10], [10, 10, 10, 10]),
}


@pytest.fixture(scope="module")
def prices(
    stack: Platform, market: Callable[[str, int], Market]
) -> dict[str, list[tuple[float, float, float, float]]]:
    """As traded, in today's shares, total return and log return, by symbol and day."""
    exchange = market("hand", 1)
    rows = []
    for symbol, (closes, splits, dividends, *_) in SERIES.items():
        for day, close in zip(DAYS, map(float, closes), strict=True):
            flat = dict.fromkeys(("open", "high", "low"), None if symbol == "BARE" else close)
            volume = None if symbol == "BARE" else 100
            rows.append(exchange.bar(symbol, day) | flat | {"close": close, "volume": volume})
        for number, after in splits:
            exchange.split(symbol, _day(number), after=after)
        for number, amount in dividends:
            exchange.dividend(symbol, _day(number), amount)
    exchange.write(rows)
    transform(stack)
    with connect(stack.settings, "admin") as client:
        found = client.query(
            "SELECT symbol, close, adjusted_close, total_return_close, log_return "
            "FROM marts.fct_quotes WHERE source = 'hand' ORDER BY symbol, trade_date"
        ).result_rows
    return {symbol: [row[1:] for row in found if row[0] == symbol] for symbol in SERIES}


def _day(number: int) -> date:
    return DAYS[number] if number < len(DAYS) else date(2024, 7, number - len(DAYS))


@pytest.mark.parametrize("symbol", SERIES)
def test_prices_are_those_that_were_worked_out(
    symbol: str, prices: dict[str, list[tuple[float, float, float, float]]]
) -> None:
    traded, _, _, adjusted, total = SERIES[symbol]
    assert [row[0] for row in prices[symbol]] == traded
    assert [row[1] for row in prices[symbol]] == pytest.approx(adjusted)
    assert [row[2] for row in prices[symbol]] == pytest.approx(total)


def test_a_split_is_no_return(prices: dict[str, list[tuple[float, float, float, float]]]) -> None:
    for symbol in ("SPLIT", "ROW"):
        assert prices[symbol][2][3] == pytest.approx(0, abs=1e-7), symbol
    assert prices["ROW"][3][3] == pytest.approx(0, abs=1e-7)
