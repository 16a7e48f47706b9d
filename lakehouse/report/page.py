"""Renders the report's page."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakehouse.panel.dataset import HORIZONS
from lakehouse.platform import Platform
from lakehouse.prices import price
from lakehouse.report import charts
from lakehouse.report.data import SYMBOLS, ReportData, Rows, read
from lakehouse.report.money import LEAST_DAYS
from lakehouse.report.packing import pack

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


def write_report(platform: Platform, path: Path) -> Path:
    """Write the report as one self-contained HTML file that needs no network.

    Args:
        platform: Warehouse, lake and models.
        path: The HTML file; it is replaced.

    Returns:
        The file's absolute path.

    Raises:
        NotEnoughData: There are no forecasts yet.
        ServiceError: ClickHouse cannot answer.
        OSError: The file cannot be written.
    """
    page = render(read(platform))
    path.write_text(page, encoding="utf-8")
    return path.absolute()


def render(data: ReportData) -> str:
    """Render the page as text; all external values are escaped."""
    from jinja2 import Environment, PackageLoader
    from plotly.offline import get_plotlyjs

    environment = Environment(
        loader=PackageLoader("lakehouse.report", "."), autoescape=True, trim_blocks=True
    )
    environment.filters["price"] = price
    several = len({row["source"] for row in data.symbols}) > 1
    realised = []
    for source in sorted({row["source"] for row in data.realised}):
        for kind, late in (("Made at the time", False), ("Simulated for the past", True)):
            rows, bins = (
                [row for row in found if (row["source"], row["is_simulated"]) == (source, late)]
                for found in (data.realised, data.chances)
            )
            if rows:
                realised.append(_realised(f"{kind} ({source})", rows, bins))
    found: dict[str, Any] = {
        "data": data,
        "made_at": datetime.now(UTC),
        "limit": SYMBOLS,
        "least_days": LEAST_DAYS,
        "several": several,
        "symbol_charts": [
            (
                f"{row['symbol']} ({row['source']})" if several else row["symbol"],
                _json(charts.forecast_chart(data, row["source"], row["symbol"])),
                _json(charts.history_chart(data, row["source"], row["symbol"])),
            )
            for row in data.symbols
        ],
        "by_symbol": [
            charts.of(data.forecasts, row["source"], row["symbol"]) for row in data.symbols
        ],
        "error_chart": _json(charts.error_chart(data)) if data.candidates else None,
        "realised": realised,
    }
    drawn = environment.get_template("draw.js.j2").render(found)
    packed = pack(f"{get_plotlyjs()};\n{drawn}")
    return environment.get_template("page.html.j2").render(found, packed=packed)


def _realised(name: str, rows: Rows, bins: Rows) -> dict[str, Any]:
    title = f"Probabilities, {HORIZONS} days ahead"
    return {
        "name": name,
        "rows": rows,
        "coverage": _json(charts.coverage_chart(rows, f"{name}: coverage")),
        "briers": charts.brier_scores(bins),
        "reliability": _json(charts.reliability_chart(bins, title)) if bins else None,
    }


def _json(figure: "Figure") -> str:
    # A "</script>" in a title would end the script element.
    return str(figure.to_json()).replace("<", "\\u003c")
