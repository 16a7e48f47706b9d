"""The page: everything that is known, put into one HTML file."""

import os
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

from lakehouse.errors import UsageError
from lakehouse.report.charts import forecast_chart, history_chart
from lakehouse.report.marts import CHARTED_SYMBOLS, Marts, Row, by_symbol, read_marts
from lakehouse.report.training import Training, read_training
from lakehouse.settings import Settings

TEMPLATE = "template.html.j2"


def write_report(settings: Settings, path: Path) -> Path:
    """Write the report; the file is replaced in one step.

    Args:
        settings: Where the marts, MLflow and the lake are.
        path: The HTML file.

    Raises:
        NotEnoughData: There are no marts yet.
        ServiceError: A service does not answer.
        UsageError: The file cannot be written.
    """
    from catalog.connect import open_catalog
    from catalog.snapshots import current_snapshots

    marts = read_marts(settings)
    training = read_training(settings)
    snapshots = current_snapshots(open_catalog(settings.catalog, settings.s3))
    text = render(marts, training, snapshots, datetime.now(UTC))
    path = path.absolute()
    try:
        _replace(path, text)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror}. Choose another file with --output."
        ) from error
    return path


def render(
    marts: Marts, training: Training, snapshots: Mapping[str, int | None], made_at: datetime
) -> str:
    """The page as text; every value is escaped, Plotly's own code is in it."""
    from jinja2 import Environment, StrictUndefined
    from plotly.offline import get_plotlyjs

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"number": number, "percent": percent, "size": size}
    source = files("lakehouse.report").joinpath(TEMPLATE).read_text(encoding="utf-8")
    return environment.from_string(source).render(
        made_at=made_at,
        marts=marts,
        training=training,
        snapshots=snapshots,
        symbols=marts.symbols[0]["symbols"] if marts.symbols else 0,
        charted=CHARTED_SYMBOLS,
        charts=_charts(marts),
        forecasts=list(by_symbol(marts.forecasts).values()),
        plotly=get_plotlyjs(),
    )


def number(value: float | None, digits: int = 2) -> str:
    """A number with separators for thousands; a dash when there is none."""
    return "–" if value is None else f"{value:,.{digits}f}"


def percent(value: float | None, digits: int = 1, sign: bool = False) -> str:
    """A share as per cent; a dash when there is none."""
    return "–" if value is None else f"{100 * value:{'+' if sign else ''}.{digits}f} %"


def size(value: float) -> str:
    """Bytes in a unit that reads well."""
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}"
        value /= 1000
    return f"{value:,.0f} TB"


def _charts(marts: Marts) -> list[dict[str, Any]]:
    forecasts = by_symbol(marts.forecasts)
    charts = []
    for row in marts.symbols[:CHARTED_SYMBOLS]:
        key = (row["source"], row["symbol"])
        currency = row["currency"] or "currency not known"
        charts.append(
            {
                "label": _label(row),
                "forecast": forecast_chart(
                    marts.recent.get(key, []), forecasts.get(key, []), currency
                ),
                "history": history_chart(
                    marts.weekly.get(key, []), marts.splits.get(key, []), currency
                ),
            }
        )
    return charts


def _label(row: Row) -> str:
    name = f" – {row['name']}" if row["name"] and row["name"] != row["symbol"] else ""
    return f"{row['symbol']}{name} ({row['source']})"


def _replace(path: Path, text: str) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
