"""A quote API on loopback that speaks Yahoo's chart format, with made-up bars up to yesterday."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from zoneinfo import ZoneInfo

import exchange_calendars
import numpy as np

from lakehouse.sources.sample.replay import ReplayHandler, serve_handler

NEW_YORK = ZoneInfo("America/New_York")
PATH = "/v8/finance/chart/"


def _stamp(day: date) -> int:
    return int(datetime.combine(day, time(9, 30), NEW_YORK).timestamp())


def _chart(symbol: str, first: date) -> dict[str, Any]:
    """A random walk over New York's sessions, the same for the same symbol and dates."""
    last = datetime.now(NEW_YORK).date() - timedelta(days=1)
    days = exchange_calendars.get_calendar("XNYS").sessions_in_range(str(first), str(last)).date
    chance = np.random.default_rng(list(symbol.encode()))
    steps = chance.normal(0.0003, 0.012, (3, len(days)))
    closes = 100 * np.exp(steps[0].cumsum())
    opens = closes * np.exp(steps[1] / 4)
    spread = np.exp(np.abs(steps[2]) / 2)
    quote = {
        "open": opens,
        "high": np.maximum(opens, closes) * spread,
        "low": np.minimum(opens, closes) / spread,
        "close": closes,
        "volume": chance.integers(1_000_000, 9_000_000, len(days)),
    }
    return {
        "meta": {
            "currency": "USD",
            "exchangeName": "NMS",
            "exchangeTimezoneName": NEW_YORK.key,
            "instrumentType": "EQUITY",
            "longName": f"Made up as {symbol}",
            "firstTradeDate": _stamp(days[0]),
        },
        "timestamp": [_stamp(day) for day in days],
        "indicators": {"quote": [{name: values.tolist() for name, values in quote.items()}]},
        "events": {},
    }


def _part(chart: dict[str, Any], start: int, end: int) -> dict[str, Any]:
    shown = [n for n, stamp in enumerate(chart["timestamp"]) if start <= stamp < end]
    (quote,) = chart["indicators"]["quote"]
    return chart | {
        "timestamp": [chart["timestamp"][n] for n in shown],
        "indicators": {
            "quote": [{name: [values[n] for n in shown] for name, values in quote.items()}]
        },
    }


@contextmanager
def yahoo(symbols: tuple[str, ...], first: date) -> Iterator[str]:
    """Serve some symbols from a date on.

    Args:
        symbols: Any other is not found.
        first: The first session, if it is one.

    Yields:
        The base URL.
    """
    charts = {symbol: _chart(symbol, first) for symbol in symbols}

    class Handler(ReplayHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            query = dict(parse_qsl(url.query))
            found = charts.get(url.path.removeprefix(PATH))
            answer: dict[str, Any] = {"result": None, "error": None}
            if found:
                answer["result"] = [_part(found, int(query["period1"]), int(query["period2"]))]
            else:
                answer["error"] = {"code": "Not Found", "description": "No data found"}
            self.send_body(200 if found else 404, json.dumps({"chart": answer}).encode())

    with serve_handler(Handler) as base_url:
        yield base_url
