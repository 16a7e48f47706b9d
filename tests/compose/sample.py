"""What the sample holds, counted in the sample itself."""

from datetime import date

from bokeh_sampledata import stocks

SYMBOLS = ("AAPL", "FB", "GOOG", "IBM", "MSFT")


def bars(end: date) -> int:
    """How many bars the sample has until a date."""
    series = [getattr(stocks, symbol)["date"] for symbol in SYMBOLS]
    return sum(day <= end.isoformat() for days in series for day in days)
