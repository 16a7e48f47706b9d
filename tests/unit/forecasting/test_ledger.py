from datetime import date

import numpy as np
import pandas as pd
import pytest

from lakehouse.models.inference import fresh_rows
from lakehouse.models.ledger import Origin, price_rows
from lakehouse.panel.trading_days import next_trading_days

DAYS = np.array(["2024-05-06", "2024-05-07", "2024-05-10"], dtype="datetime64[D]")


def test_known_days_come_from_the_calendar_and_weekdays_follow() -> None:
    assert next_trading_days(date(2024, 5, 6), 5, DAYS) == [
        date(2024, 5, day) for day in (7, 10, 13, 14, 15)
    ]


def test_known_holidays_beyond_the_last_open_day_are_skipped() -> None:
    found = next_trading_days(date(2024, 5, 10), 2, DAYS, {date(2024, 5, 13)})
    assert found == [date(2024, 5, 14), date(2024, 5, 15)]


def test_without_any_calendar_weekdays_count() -> None:
    assert next_trading_days(date(2024, 5, 10), 1, DAYS[:0]) == [date(2024, 5, 13)]


def test_log_returns_become_prices_of_the_as_of_date() -> None:
    frame = pd.DataFrame(
        {
            "source": ["test"],
            "symbol": ["AAA"],
            "trade_date": pd.to_datetime(["2024-05-06"]),
            "close": [200.0],
        }
    )
    returns = np.array([[0.01, -0.05, -0.02, 0.03, 0.06, 0.02, -0.1, -0.05, 0.05, 0.1]])
    origin = Origin("weekahead", "7", 42, simulated=False)
    drift = np.array([[0.01, 0.02]])
    rows = price_rows(
        frame, returns, drift, origin, open_days={"test": DAYS}, closed_days={}
    ).to_pylist()
    assert [row["horizon"] for row in rows] == [1, 2]
    assert [row["target_date"] for row in rows] == [date(2024, 5, 7), date(2024, 5, 10)]
    assert rows[0]["point"] == pytest.approx(200 * np.exp(0.01))
    assert rows[1]["lower_95"] == pytest.approx(200 * np.exp(-0.1))
    assert rows[0]["last_close"] == 200.0
    # A forecast that is the drift has the drift's price, to the last bit.
    assert [row["drift_point"] for row in rows] == [row["point"] for row in rows]
    assert rows[0]["feature_snapshot"] == 42


def test_symbols_without_recent_bars_are_left_out() -> None:
    frame = pd.DataFrame(
        {"symbol": ["NEW", "OLD"], "trade_date": pd.to_datetime(["2024-05-06", "2024-01-02"])}
    )
    kept, stale = fresh_rows(frame, 30)
    assert kept.symbol.tolist() == ["NEW"]
    assert stale == ("OLD",)


def test_each_symbol_counts_the_days_of_its_own_exchange() -> None:
    frame = pd.DataFrame(
        {
            "source": ["yahoo"] * 2,
            "symbol": ["AAPL", "BTC-USD"],
            "trade_date": pd.to_datetime(["2024-05-10"] * 2),
            "close": [200.0, 60_000.0],
        }
    )
    every_day = np.arange("2024-05-01", "2024-06-01", dtype="datetime64[D]")
    rows = price_rows(
        frame,
        np.zeros((2, 10)),
        np.zeros((2, 2)),
        Origin("weekahead", "7", 42, simulated=False),
        open_days={"yahoo": DAYS, "yahoo/BTC-USD": every_day},
        closed_days={"yahoo": {date(2024, 5, 13)}},
    ).to_pylist()
    targets = [(row["symbol"], row["target_date"].day) for row in rows]
    assert targets == [("AAPL", 14), ("AAPL", 15), ("BTC-USD", 11), ("BTC-USD", 12)]
