"""Are the probabilities right? Of what was said to be 60 % likely, 60 % should happen."""

import numpy as np
import pandas as pd
from sklearn.metrics import brier_score_loss

from lakehouse.forecasting.intervals import chances, distribution, scores
from lakehouse.forecasting.out_of_sample import OutOfSample
from lakehouse.panel.dataset import GROWN, Dataset, Floats
from lakehouse.panel.validation import Fold

EVENTS = ("up", "move")
BINS = 20


def walk_chances(
    dataset: Dataset, result: OutOfSample, folds: tuple[Fold, ...], move: float
) -> Floats:
    """Probabilities as they would have been given in each window.

    Args:
        dataset: All rows.
        result: Forecasts of a pair of models.
        folds: The plan of the walk.
        move: Size of a large move, as a positive log return.

    Returns:
        As ``intervals.chances`` gives them, from scores known before each window, shape (n,
        horizons, 2); NaN in the first window.
    """
    dates = dataset.target_dates[result.rows]
    unseen = scores(dataset.targets[result.rows], result.returns, result.scales)
    grown = result.ages == GROWN
    found = np.full((*unseen.shape, len(EVENTS)), np.nan)
    for number, fold in enumerate(folds[1:], start=1):
        part, before = result.folds == number, grown & (result.folds < number)
        known = dates[before] < np.datetime64(fold.cutoff, "D")
        quantiles = distribution(np.where(known, unseen[before], np.nan))
        found[part] = chances(result.returns[part], result.scales[part], quantiles, move)
    return found


def reliability(actual: Floats, said: Floats, move: float) -> pd.DataFrame:
    """How often what was said happened, in bins of five percentage points.

    Args:
        actual: Log returns, shape (n, horizons); NaN while unknown.
        said: As ``intervals.chances`` gives them, shape (n, horizons, 2); NaN are ignored.
        move: Size of a large move, as a positive log return.

    Returns:
        One row per ``event`` (``up``, ``move``), ``horizon`` and bin: ``n`` forecasts, their mean
        (``said``) and the share of them that ``happened``. Repeated in every row of an event and
        horizon: ``brier``, the mean squared error of all its probabilities, and ``brier_base``,
        that of the best constant, the share that happened of all.
    """
    found = []
    for place, event in enumerate(EVENTS):
        for h in range(actual.shape[1]):
            known = np.isfinite(actual[:, h]) & np.isfinite(said[:, h, place])
            if not known.any():
                continue
            outcome = actual[known, h]
            happened = outcome > 0 if event == "up" else np.abs(outcome) > move
            chance = said[known, h, place]
            number = np.minimum((chance * BINS).astype(int), BINS - 1)
            table = pd.DataFrame({"bin": number, "n": 1, "said": chance, "happened": happened})
            of_bin = table.groupby("bin")
            rows = of_bin.mean().assign(n=of_bin["n"].sum(), event=event, horizon=h + 1)
            base = float(happened.mean())
            rows["brier"] = brier_score_loss(happened, chance, pos_label=1)
            found.append(rows.assign(brier_base=base * (1 - base)))
    columns = ["event", "horizon", "n", "said", "happened", "brier", "brier_base"]
    return pd.concat(found, ignore_index=True)[columns] if found else pd.DataFrame(columns=columns)
