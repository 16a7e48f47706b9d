"""The report's section on money: what the forecasts would have earned."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lakehouse.forecasting.earned import Earned, break_even, earned

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

BACKTEST = """
SELECT source, is_simulated, schedule, strategy,
    arrayMap(x -> x.2, arraySort(groupArray((trade_date, net_return)))) AS returns,
    arrayMap(x -> x.2, arraySort(groupArray((trade_date, turnover)))) AS turnovers,
    min(trade_date) AS first_date, max(trade_date) AS last_date
FROM marts.fct_backtest
GROUP BY source, is_simulated, schedule, strategy
ORDER BY source, is_simulated, schedule DESC,
    indexOf(['market', 'index', 'top', 'bottom', 'long_short'], strategy)
"""
CALLS = """
SELECT source, is_simulated, avg(is_direction_right) AS hit_rate,
    avg(is_up) AS up_share, groupArray(abs(actual_return)) AS moves
FROM marts.fct_forecast_accuracy WHERE horizon = 5 GROUP BY source, is_simulated
"""
# With fewer days the figures are meaningless.
LEAST_DAYS = 60
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Section:
    """One source's strategies.

    Attributes:
        name: The source, and whether the forecasts were made at the time.
        sentence: The conclusion.
        rows: Figures by schedule and strategy.
        hit_rate: Share of correct directions five days ahead.
        up_share: Hit rate of always predicting up.
        break_even: Hit rate at which a bet on the direction covers its costs.
    """

    name: str
    sentence: str
    rows: list[dict[str, Any]]
    hit_rate: float
    up_share: float
    break_even: float


def read_earned(client: "Client", cost_bps: float) -> list[Section]:
    """The sections for every source with at least 60 days of back-test.

    Args:
        client: The warehouse.
        cost_bps: Trading costs that the marts were built with, in basis points per trade.

    Returns:
        One section per source and kind of forecast.
    """
    calls = {
        (row["source"], row["is_simulated"]): row for row in client.query(CALLS).named_results()
    }
    groups: dict[tuple[str, bool], list[dict[str, Any]]] = {}
    for row in client.query(BACKTEST).named_results():
        if len(row["returns"]) >= LEAST_DAYS:
            groups.setdefault((row["source"], row["is_simulated"]), []).append(dict(row))
    sections = []
    for (source, simulated), rows in groups.items():
        returns = [np.array(row["returns"], dtype="float64") for row in rows]
        # An index was not tried, it was there.
        tried = [own for row, own in zip(rows, returns, strict=True) if row["strategy"] != "index"]
        figures = [
            earned(own, np.array(row["turnovers"], dtype="float64"), tried)
            for row, own in zip(rows, returns, strict=True)
        ]
        found = calls[source, simulated]
        kind = "simulated for the past" if simulated else "made at the time"
        span = f"{rows[0]['first_date']} to {rows[0]['last_date']}"
        sections.append(
            Section(
                name=f"{source}, forecasts {kind}, {span}",
                sentence=verdict(
                    {
                        (str(row["schedule"]), str(row["strategy"])): figure
                        for row, figure in zip(rows, figures, strict=True)
                    },
                    cost_bps,
                ),
                rows=[
                    {"schedule": row["schedule"], "strategy": row["strategy"]} | asdict(figure)
                    for row, figure in zip(rows, figures, strict=True)
                ],
                hit_rate=float(found["hit_rate"]),
                up_share=float(found["up_share"]),
                break_even=break_even(2 * cost_bps / 1e4, np.array(found["moves"])),
            )
        )
    return sections


def verdict(figures: dict[tuple[str, str], Earned], cost_bps: float) -> str:
    """Summarise the strategies in one honest sentence.

    Args:
        figures: Figures by schedule and strategy.
        cost_bps: Trading costs in basis points per trade.

    Returns:
        Whether the best strategy that follows the forecasts can be told apart from luck.
    """
    follow = {key: one for key, one in figures.items() if key[1] in ("top", "long_short")}
    if not follow:
        return "Too few days to say anything."
    (schedule, strategy), best = max(follow.items(), key=lambda item: item[1].sharpe)
    name = f"{strategy.replace('_', '–')} ({schedule})"
    market = figures.get((schedule, "market"))
    beside = f", the market's {market.annual_return:+.1%}" if market else ""
    index = figures.get((schedule, "index"))
    beside += f", the index's {index.annual_return:+.1%}" if index else ""
    if best.luck <= 1 - CONFIDENCE and best.sharpe_low > 0:
        start = "One strategy that follows the forecasts did better than luck explains"
    else:
        start = "No strategy that follows the forecasts can be told apart from luck"
    return (
        f"{start}: after {cost_bps:g} basis points a trade the best of them, {name}, returned "
        f"{best.annual_return:+.1%} a year{beside}; its Sharpe ratio of {best.sharpe:.2f} has a "
        f"95 % interval of {best.sharpe_low:.2f} to {best.sharpe_high:.2f}, and the chance that it "
        f"is luck is {best.luck:.0%}."
    )
