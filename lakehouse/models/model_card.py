"""The model card of a version: what it was made from, how good it is, where it fails."""

import json
from collections.abc import Mapping

from lakehouse.forecasting.development import Development
from lakehouse.forecasting.gate import Verdict

LIMITS = """\
- Weekly returns are nearly unpredictable: the point is worth little, the bands are what to use.
- Figures are of the walk-forward on the data below; other markets and other times differ.
- A gap over a weekend, a merger or a halt is inside the bands only as often as in the past.
- Symbols with few bars have bands that are calibrated by few others.
- It forecasts only sources that it was trained on."""


def model_card(
    development: Development,
    verdict: Verdict,
    kind: str,
    scale: str,
    figures: Mapping[str, float],
    tags: Mapping[str, str],
) -> str:
    """Write the card in Markdown.

    Args:
        development: The walk-forward that produced the version.
        verdict: The gate's verdict.
        kind: The version's point model.
        scale: Its scale model.
        figures: Its figures, as ``Development.figures`` gives them.
        tags: Everything needed to train the version again.

    Returns:
        Markdown with a table of figures by horizon, the data and the limits.
    """
    dates = development.dataset.dates
    rows = [
        f"| {h} | {_of(figures, f'mae_vs_drift_h{h}', '.4f')} "
        f"| {_of(figures, f'band_pinball_vs_deviation_h{h}', '.4f')} "
        f"| {_of(figures, f'coverage_80_h{h}', '.1%')} "
        f"| {_of(figures, f'coverage_95_h{h}', '.1%')} "
        f"| {_of(figures, f'width_95_h{h}', '.3f')} |"
        for h in range(1, development.dataset.targets.shape[1] + 1)
    ]
    snapshots = json.loads(tags["snapshots"])
    return "\n".join(
        [
            f"**{kind}, with bands of {scale}.** {verdict.reason}.",
            "",
            "| days ahead | error / drift | pinball / deviation | 80 % covers | 95 % covers "
            "| 95 % width |",
            "| --- | --- | --- | --- | --- | --- |",
            *rows,
            "",
            f"**Rank IC** five days ahead: {_of(figures, 'rank_ic_h5', '+.3f')}, 95 % interval "
            f"{_of(figures, 'rank_ic_low_h5', '+.3f')} to "
            f"{_of(figures, 'rank_ic_high_h5', '+.3f')}; none, if that contains 0.",
            "",
            "**Probabilities** five days ahead, Brier score beside the best constant's: a rise "
            f"{_of(figures, 'brier_up_h5', '.4f')} ({_of(figures, 'brier_base_up_h5', '.4f')}), "
            f"a large move {_of(figures, 'brier_move_h5', '.4f')} "
            f"({_of(figures, 'brier_base_move_h5', '.4f')}).",
            "",
            f"**Data**: {len(development.dataset.frame):,} rows of "
            f"{', '.join(development.dataset.sources)}, {dates.min()} to {dates.max()}; snapshots "
            + ", ".join(f"{name} {found}" for name, found in snapshots.items() if found)
            + f"; SHA-256 {tags['data_digest'][:12]}….",
            "",
            "**Limits**",
            LIMITS,
        ]
    )


def _of(figures: Mapping[str, float], name: str, style: str) -> str:
    return format(figures[name], style) if name in figures else "–"
