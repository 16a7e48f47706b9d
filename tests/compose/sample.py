"""What the sample holds, counted in the sample itself, and whether a stack has all of it."""

from datetime import date

from bokeh_sampledata import stocks

from tests.compose.stack import Stack

SYMBOLS = ("AAPL", "FB", "GOOG", "IBM", "MSFT")


def bars(end: date) -> int:
    """How many bars the sample has until a date."""
    series = [getattr(stocks, symbol)["date"] for symbol in SYMBOLS]
    return sum(day <= end.isoformat() for days in series for day in days)


def assert_whole(stack: Stack, end: date) -> None:
    """Lake and marts hold what an undisturbed run would have left."""
    (lake,) = stack.sql(
        "select count(*) as bars, count(distinct (source, symbol, trade_date)) as keys "
        "from raw.quotes"
    )
    assert lake == {"bars": bars(end), "keys": bars(end)}
    (marts,) = stack.sql("select count() as bars from marts.fct_quotes", engine="clickhouse")
    assert int(marts["bars"]) == bars(end)
