"""The report's charts, in colours that colour-blind readers can distinguish (Okabe & Ito 2008)."""

import math
from typing import TYPE_CHECKING, Any

from lakehouse.forecasting.intervals import LEAST_IN_BIN
from lakehouse.panel.dataset import HORIZONS
from lakehouse.report.data import ReportData, Rows

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

BLACK, BLUE, SKY, ORANGE, GREEN, PURPLE, VERMILION = (
    "#222222",
    "#0072B2",
    "#56B4E9",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#D55E00",
)
LAYOUT: dict[str, Any] = {
    "template": "plotly_white",
    "margin": {"l": 55, "r": 20, "t": 40, "b": 40},
    "height": 340,
    "legend": {"orientation": "h", "y": -0.18},
    "font": {"family": "system-ui, sans-serif", "size": 13},
}


def of(rows: Rows, source: str, symbol: str) -> Rows:
    """The rows of one symbol.

    Args:
        rows: Rows with ``source`` and ``symbol``.
        source: Quote source.
        symbol: Symbol.

    Returns:
        The matching rows, in the same order.
    """
    return [row for row in rows if (row["source"], row["symbol"]) == (source, symbol)]


def price_title(data: ReportData, source: str, symbol: str) -> str:
    """Title of a price axis, with the currency if known.

    Args:
        data: Gives the currencies.
        source: Quote source.
        symbol: Symbol.

    Returns:
        Such as ``price, USD``.
    """
    currency = data.currencies.get((source, symbol))
    return f"price, {currency}" if currency else "price"


def _adjusted(row: dict[str, Any]) -> dict[str, Any]:
    prices = ("last_close", "point", "lower_80", "upper_80", "lower_95", "upper_95")
    return row | {name: row[name] * row["split_factor"] for name in prices}


def forecast_chart(data: ReportData, source: str, symbol: str) -> "Figure":
    """The last bars as candles, the forecast, and its 80 and 95 % bands.

    Args:
        data: The report's data.
        source: Quote source.
        symbol: Symbol.

    Returns:
        A plotly figure of prices adjusted for splits.
    """
    from plotly import graph_objects as go

    bars = sorted(of(data.recent, source, symbol), key=lambda row: row["trade_date"])
    # The ledger has prices as traded on the as-of date; adjust them for splits since then.
    rows = [_adjusted(row) for row in of(data.forecasts, source, symbol)]
    figure = go.Figure()
    start = [(rows[0]["as_of_date"], rows[0]["last_close"])] if rows else []
    for level, colour in ((95, "rgba(86,180,233,0.25)"), (80, "rgba(0,114,178,0.30)")):
        upper = start + [(row["target_date"], row[f"upper_{level}"]) for row in rows]
        lower = start + [(row["target_date"], row[f"lower_{level}"]) for row in rows]
        outline = upper + lower[::-1]
        figure.add_scatter(
            x=[day for day, _ in outline],
            y=[value for _, value in outline],
            mode="lines",
            fill="toself",
            fillcolor=colour,
            line={"width": 0},
            name=f"{level} % interval",
            hoverinfo="skip",
        )
    figure.add_candlestick(
        x=[row["trade_date"] for row in bars],
        **{
            price: [row[f"adjusted_{price}"] for row in bars]
            for price in ("open", "high", "low", "close")
        },
        # A colour for each direction, and a body that is hollow or full, for any eye.
        increasing={"line": {"color": BLUE, "width": 1}, "fillcolor": "white"},
        decreasing={"line": {"color": VERMILION, "width": 1}, "fillcolor": VERMILION},
        name="bars (adjusted)",
    )
    points = start + [(row["target_date"], row["point"]) for row in rows]
    figure.add_scatter(
        x=[day for day, _ in points],
        y=[value for _, value in points],
        mode="lines+markers",
        line={"color": ORANGE, "width": 2},
        name="forecast",
    )
    title = f"{symbol}: last {len(bars)} bars and five days ahead"
    return figure.update_layout(
        **LAYOUT,
        title=title,
        yaxis_title=price_title(data, source, symbol),
        # The slider below it would repeat sixty bars.
        xaxis_rangeslider_visible=False,
    )


def history_chart(data: ReportData, source: str, symbol: str) -> "Figure":
    """Weekly closes, as traded and adjusted for splits, on a logarithmic axis.

    Args:
        data: The report's data.
        source: Quote source.
        symbol: Symbol.

    Returns:
        A plotly figure with the splits marked.
    """
    from plotly import graph_objects as go

    rows = of(data.history, source, symbol)
    figure = go.Figure()
    for column, name, colour in (
        ("as_traded", "as traded", PURPLE),
        ("adjusted", "adjusted for splits", BLUE),
    ):
        figure.add_scatter(
            x=[row["week"] for row in rows],
            y=[row[column] for row in rows],
            name=name,
            line={"color": colour, "width": 1.2},
        )
    for row in rows:
        if row["has_split"]:
            figure.add_vline(x=str(row["week"]), line={"color": BLACK, "dash": "dot", "width": 1})
    title = f"{symbol}: the whole history (dotted: split)"
    return figure.update_layout(
        **LAYOUT,
        title=title,
        yaxis_title=f"{price_title(data, source, symbol)}, log scale",
        yaxis_type="log",
    )


def error_chart(data: ReportData) -> "Figure":
    """Walk-forward error of each candidate relative to the last price, by horizon."""
    from plotly import graph_objects as go

    figure = go.Figure()
    horizons = range(1, HORIZONS + 1)
    colours = (BLACK, BLUE, ORANGE, GREEN, PURPLE, SKY)
    for number, row in enumerate(data.candidates):
        values = [row.get(f"mae_vs_last_price_h{horizon}", math.nan) for horizon in horizons]
        figure.add_scatter(
            x=list(horizons),
            y=values,
            mode="lines+markers",
            name=row["kind"],
            line={"color": colours[number % len(colours)]},
        )
    return figure.update_layout(
        **LAYOUT,
        title="Walk-forward error relative to the last price (below 1 is better)",
        xaxis_title="trading days ahead",
        xaxis_dtick=1,
        yaxis_title="relative mean absolute error",
    )


def coverage_chart(rows: Rows, title: str) -> "Figure":
    """Share of outcomes inside the intervals by horizon, with the nominal levels.

    Args:
        rows: Realised figures with ``horizon``, ``coverage_80`` and ``coverage_95``.
        title: Title of the chart.

    Returns:
        A plotly figure.
    """
    from plotly import graph_objects as go

    figure = go.Figure()
    for level, colour in ((80, BLUE), (95, GREEN)):
        figure.add_scatter(
            x=[row["horizon"] for row in rows],
            y=[row[f"coverage_{level}"] for row in rows],
            mode="lines+markers",
            name=f"{level} % interval",
            line={"color": colour},
        )
        figure.add_hline(y=level / 100, line={"color": colour, "dash": "dot", "width": 1})
    return figure.update_layout(
        **LAYOUT,
        title=title,
        xaxis_title="trading days ahead",
        xaxis_dtick=1,
        yaxis={"title": "share inside", "tickformat": ".0%"},
    )


def reliability_chart(rows: Rows, title: str) -> "Figure":
    """Probabilities that were given beside the share that happened; right is on the diagonal.

    Args:
        rows: Bins with ``event``, ``n``, ``said`` and ``happened``.
        title: Title of the chart.

    Returns:
        A plotly figure; bins with fewer than 20 forecasts are left out.
    """
    from plotly import graph_objects as go

    figure = go.Figure()
    for event, colour in zip(events(rows), (BLUE, GREEN), strict=False):
        own = [row for row in rows if row["event"] == event and row["n"] >= LEAST_IN_BIN]
        figure.add_scatter(
            x=[row["said"] for row in own],
            y=[row["happened"] for row in own],
            text=[f"{row['n']} forecasts" for row in own],
            mode="lines+markers",
            name=event,
            line={"color": colour},
        )
    figure.add_scatter(
        x=[0, 1],
        y=[0, 1],
        mode="lines",
        showlegend=False,
        line={"color": BLACK, "dash": "dot", "width": 1},
        hoverinfo="skip",
    )
    return figure.update_layout(
        **LAYOUT,
        title=title,
        xaxis={"title": "probability given", "tickformat": ".0%"},
        yaxis={"title": "share that happened", "tickformat": ".0%"},
    )


def events(rows: Rows) -> list[str]:
    """What probabilities were given for, in the order of the rows."""
    return list(dict.fromkeys(row["event"] for row in rows))


def brier_scores(rows: Rows) -> Rows:
    """The Brier score of each event, beside that of the best constant probability.

    Args:
        rows: Bins with ``event``, ``n``, ``happened`` and ``squares``.

    Returns:
        One row per event: ``event``, ``n``, ``share``, ``brier`` and ``base``.
    """
    found = []
    for event in events(rows):
        own = [row for row in rows if row["event"] == event]
        n = sum(row["n"] for row in own)
        share = sum(row["n"] * row["happened"] for row in own) / n
        brier = sum(row["squares"] for row in own) / n
        base = share * (1 - share)
        found.append({"event": event, "n": n, "share": share, "brier": brier, "base": base})
    return found
