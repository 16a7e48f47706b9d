"""Charts of one symbol, as Plotly figures in plain values."""

import json
from typing import Any

import plotly.graph_objects as go

from lakehouse.report.marts import Row

# Okabe and Ito's palette, which colour-blind people can tell apart.
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#8a8f98"
BAND_80, BAND_95 = "rgba(213,94,0,0.30)", "rgba(213,94,0,0.14)"

_LAYOUT: dict[str, Any] = {
    "template": "plotly_white",
    "margin": {"l": 56, "r": 16, "t": 12, "b": 36},
    "height": 380,
    "font": {"family": "system-ui, sans-serif", "size": 13, "color": "#1f2430"},
    "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    "hovermode": "x unified",
}


def forecast_chart(bars: list[Row], forecasts: list[Row], currency: str) -> dict[str, Any]:
    """Adjusted closes and the five-day forecast with its 80 and 95 % intervals.

    Args:
        bars: Recent bars, oldest first.
        forecasts: The symbol's latest forecasts by horizon; may be empty. Their prices are of the
            as-of date and are brought into today's shares by ``split_factor``.
        currency: Unit of the price axis.
    """
    figure = go.Figure()
    dated = [row for row in forecasts if row["target_date"] is not None]
    if dated:
        _bands(figure, dated)
    figure.add_scatter(
        x=[bar["trade_date"].isoformat() for bar in bars],
        y=[bar["adjusted_close"] for bar in bars],
        name="adjusted close",
        mode="lines",
        line={"color": BLUE, "width": 2},
    )
    figure.update_layout(**_LAYOUT)
    figure.update_yaxes(title=f"price, {currency}")
    return _plain(figure)


def history_chart(weeks: list[Row], splits: list[Row], currency: str) -> dict[str, Any]:
    """Weekly closes as traded and adjusted over the whole history, with the splits marked."""
    figure = go.Figure()
    days = [row["day"].isoformat() for row in weeks]
    for name, column, color in (("as traded", "traded", GREY), ("adjusted", "adjusted", BLUE)):
        figure.add_scatter(
            x=days,
            y=[row[column] for row in weeks],
            name=name,
            mode="lines",
            line={"color": color, "width": 1.6, "dash": "dot" if column == "traded" else "solid"},
        )
    for split in splits:
        day = split["trade_date"].isoformat()
        figure.add_shape(
            type="line",
            x0=day,
            x1=day,
            y0=0,
            y1=1,
            yref="paper",
            line={"color": ORANGE, "width": 1},
        )
        figure.add_annotation(
            x=day,
            y=1,
            yref="paper",
            text=f"split {split['split_ratio']:g}",
            showarrow=False,
            xanchor="left",
            yanchor="top",
            font={"color": ORANGE},
        )
    figure.update_layout(**_LAYOUT)
    figure.update_yaxes(title=f"price, {currency} (log scale)", type="log")
    return _plain(figure)


def _bands(figure: go.Figure, forecasts: list[Row]) -> None:
    first = forecasts[0]
    factor = first["split_factor"]
    days = [first["as_of_date"].isoformat(), *(row["target_date"].isoformat() for row in forecasts)]

    def prices(column: str) -> list[float | None]:
        values = [first["last_close"], *(row[column] for row in forecasts)]
        return [None if value is None else value * factor for value in values]

    for level, color in ((95, BAND_95), (80, BAND_80)):
        edge = {"mode": "lines", "line": {"width": 0}, "hovertemplate": "%{y:.2f}"}
        figure.add_scatter(
            x=days, y=prices(f"lower_{level}"), name=f"lower {level} %", showlegend=False, **edge
        )
        figure.add_scatter(
            x=days,
            y=prices(f"upper_{level}"),
            name=f"{level} % interval",
            fill="tonexty",
            fillcolor=color,
            **edge,
        )
    figure.add_scatter(
        x=days,
        y=prices("point"),
        name="forecast",
        mode="lines+markers",
        line={"color": ORANGE, "width": 2, "dash": "dash"},
        marker={"size": 5},
    )


def _plain(figure: go.Figure) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(figure.to_json())
    # The template repeats Plotly's defaults in every figure; the page says it once.
    del plain["layout"]["template"]
    return plain
