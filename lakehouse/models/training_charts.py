"""Charts of a training run: validation scheme, errors, coverage, reliability."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # works without a display; must precede the import of pyplot

import matplotlib.dates as mdates
import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from lakehouse.forecasting.intervals import LEAST_IN_BIN
from lakehouse.panel.dataset import AGES

TRAIN, GAP, TEST, GATE = "#7aa6c2", "#d9d9d9", "#e07b39", "#8c4a9e"


def draw(scheme: pd.DataFrame, table: pd.DataFrame, bands: pd.DataFrame, folder: Path) -> None:
    """Write all charts into a folder as PNG.

    Args:
        scheme: The validation scheme, one row per fold.
        table: Metrics of the point models, as ``metrics.evaluate`` gives them.
        bands: Scores of the scale models, as ``band_metrics.evaluate_bands`` gives them.
        folder: An existing directory.
    """
    charts = {
        "validation_scheme": scheme_chart(scheme),
        "error_against_last_price": error_chart(table),
        "bands_against_deviation": band_chart(bands),
        "coverage_by_volatility": coverage_chart(
            bands.rename(columns={"scale": "candidate"}),
            "volatility",
            ("low", "middle", "high"),
            "tercile of the 21-day volatility",
        ),
        "coverage_by_age": coverage_chart(
            table, "age", AGES, "history of the symbol: new has no volatility yet"
        ),
    }
    save(charts, folder)


def save(charts: Mapping[str, Figure], folder: Path) -> None:
    """Write figures as PNG, and close them.

    Args:
        charts: Figures by name.
        folder: An existing directory.
    """
    for name, figure in charts.items():
        figure.savefig(folder / f"{name}.png", dpi=110)
        plt.close(figure)


def reliability_chart(table: pd.DataFrame) -> Figure:
    """What was said beside what happened, one and five days ahead; right is on the diagonal."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 4.5), layout="constrained", sharey=True)
    titles = {"up": "a rise", "move": "a large move"}
    for place, (event, title) in zip(axes, titles.items(), strict=True):
        place.plot([0, 1], [0, 1], color="black", linewidth=1, linestyle=":")
        for horizon, rows in table[table["event"] == event].groupby("horizon"):
            if horizon not in (1, table["horizon"].max()):
                continue
            brier, base = rows[["brier", "brier_base"]].iloc[0]
            label = f"horizon {horizon}: Brier {brier:.4f}, base rate {base:.4f}"
            rows = rows[rows["n"] >= LEAST_IN_BIN]
            line = place.plot(rows["said"], rows["happened"], label=label)
            # Area: how many forecasts stand behind a point.
            share = rows["n"] / rows["n"].sum()
            color = line[0].get_color()
            place.scatter(rows["said"], rows["happened"], 10 + 400 * share, color=color)
        place.set_xlabel(f"probability given to {title}")
        place.legend(loc="upper left", fontsize=8)
    axes[0].set_ylabel("share that happened")
    figure.suptitle("Reliability of the probabilities, out of sample")
    return figure


def scheme_chart(scheme: pd.DataFrame) -> Figure:
    """One line per fold: training, gap, test."""
    figure, axes = plt.subplots(figsize=(9, 0.5 * len(scheme) + 1.4), layout="constrained")
    for position, row in enumerate(scheme.itertuples()):
        first, last, start, end = (
            float(mdates.date2num(day))  # type: ignore[no-untyped-call]
            for day in (row.train_start, row.train_end, row.test_start, row.test_end)
        )
        axes.barh(position, last - first, left=first, color=TRAIN)
        axes.barh(position, start - last, left=last, color=GAP)
        color = GATE if row.fold == "gate" else TEST
        axes.barh(position, end - start, left=start, color=color)
        axes.text(end, position, f" {row.test_rows} rows", va="center", fontsize=8)
    axes.set_yticks(
        range(len(scheme)), [f"fold {name}" if name != "gate" else name for name in scheme["fold"]]
    )
    axes.invert_yaxis()
    axes.xaxis_date()
    axes.margins(x=0.12)
    axes.set_title("Training (blue), purge and embargo (grey), test (orange), gate (purple)")
    return figure


def error_chart(table: pd.DataFrame) -> Figure:
    """Relative MAE by horizon; below 1 beats the last price."""
    figure, axes = plt.subplots(figsize=(9, 4.5), layout="constrained")
    overall = table[table["group"] == "overall"]
    for candidate, rows in overall.groupby("candidate", sort=False):
        axes.plot(rows["horizon"], rows["mae_vs_last_price"], marker="o", label=str(candidate))
    axes.axhline(1.0, color="black", linewidth=1, linestyle=":")
    axes.set_xticks(sorted(overall["horizon"].unique()))
    axes.set_xlabel("horizon, trading days")
    axes.set_ylabel("MAE relative to the last price")
    axes.set_title("Out-of-sample error; 1 is the last price")
    figure.legend(loc="outside right upper")
    return figure


def band_chart(table: pd.DataFrame) -> Figure:
    """Relative pinball loss by horizon; below 1 beats the 21-day deviation."""
    figure, axes = plt.subplots(figsize=(9, 4.5), layout="constrained")
    overall = table[table["group"] == "overall"]
    for scale, rows in overall.groupby("scale", sort=False):
        axes.plot(rows["horizon"], rows["pinball_vs_deviation"], marker="o", label=str(scale))
    axes.set_xticks(sorted(overall["horizon"].unique()))
    axes.set_xlabel("horizon, trading days")
    axes.set_ylabel("pinball loss relative to the 21-day deviation")
    axes.set_title("Out-of-sample loss of the bands; 1 is the 21-day deviation")
    figure.legend(loc="outside right upper")
    return figure


def coverage_chart(table: pd.DataFrame, group: str, members: tuple[str, ...], label: str) -> Figure:
    """Coverage of both levels for each member of a group, averaged over horizons.

    Args:
        table: Metrics by ``candidate``, ``group`` and ``member``.
        group: The group to show, such as ``age``.
        members: Its members in the order of the axis; missing ones are skipped.
        label: Label of the axis.

    Returns:
        The figure, which the caller closes.
    """
    figure, axes = plt.subplots(figsize=(9, 4.5), layout="constrained")
    rows = table[(table["group"] == group) & table["coverage_80"].notna()]
    order = [name for name in members if name in set(rows["member"])]
    for candidate, part in rows.groupby("candidate", sort=False):
        means = part.groupby("member")[["coverage_80", "coverage_95"]].mean().reindex(order)
        line = axes.plot(order, means["coverage_80"], marker="o", label=str(candidate))
        axes.plot(order, means["coverage_95"], marker="s", color=line[0].get_color())
    for level in (0.80, 0.95):
        axes.axhline(level, color="black", linewidth=1, linestyle=":")
    axes.set_ylim(0.5, 1.0)
    axes.set_xlabel(label)
    axes.set_ylabel("share of outcomes inside")
    axes.set_title("Coverage of the 80 % (circles) and 95 % (squares) intervals, out of sample")
    figure.legend(loc="outside right upper")
    return figure
