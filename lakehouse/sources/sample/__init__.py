"""The default source: real daily bars of five US stocks, replayed on loopback in ISS format.

The bars come from the package bokeh_sampledata (public domain; AAPL, FB, GOOG, IBM and MSFT,
2000-03-01 to 2013-03-01, unadjusted). The package does not list splits; the three below are the
actual ones from that time.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from pyarrow import csv

from lakehouse.errors import FatalError
from lakehouse.settings import Settings
from lakehouse.sources.http import HttpClient
from lakehouse.sources.moex import MoexReader
from lakehouse.sources.sample.exchange import Bar, Exchange
from lakehouse.sources.sample.replay import serve

SPLITS = (
    ("2000-06-21", "AAPL", 1, 2),
    ("2003-02-18", "MSFT", 1, 2),
    ("2005-02-28", "AAPL", 1, 2),
)


def sample_exchange() -> Exchange:
    """The sample's bars and splits.

    Raises:
        FatalError: The package with the bars is not installed, or has changed.
    """
    spec = find_spec("bokeh_sampledata")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    # Read the file directly, because importing the package would import pandas.
    files = [path for folder in folders if (path := Path(folder, "_data/stocks.csv.gz")).exists()]
    if not files:
        raise FatalError(
            "The sample needs the package bokeh_sampledata with its file stocks.csv.gz: "
            "install weekahead again."
        )
    bars: dict[str, list[Bar]] = {}
    for row in csv.read_csv(files[0]).to_pylist():
        bar = Bar(
            row["Date"].isoformat(),
            row["Open"],
            row["High"],
            row["Low"],
            row["Close"],
            row["Volume"],
        )
        bars.setdefault(row["Ticker"], []).append(bar)
    for series in bars.values():
        series.sort(key=lambda bar: bar.day)
    return Exchange(bars=bars, splits=SPLITS)


@contextmanager
def open_source(settings: Settings) -> Iterator[MoexReader]:
    """Serve the sample while it is read; loopback needs no pauses between requests."""
    exchange = sample_exchange()
    with (
        serve(exchange) as base_url,
        HttpClient(
            settings.http, base_url=base_url, setting="the sample's server", pause_seconds=0
        ) as http,
    ):
        moex = settings.moex.model_copy(update={"board": exchange.board})
        yield MoexReader(http, moex, name="sample", board_by_default=False)
