"""Training, validation and the registry's gate."""

from typing import Annotated, Literal

from pydantic import Field

from catalog.settings import Section


class ForecastSettings(Section):
    """How models are validated, when one may serve, and when to warn."""

    folds: int = Field(5, ge=2, le=50, description="Walk-forward test windows.")
    embargo_days: int = Field(
        5,
        ge=0,
        le=250,
        description="Trading days left out between training and test, beyond purging.",
    )
    gate_days: int = Field(
        250, ge=20, le=2500, description="Trading days of the final untouched window."
    )
    min_history_days: int = Field(
        60, ge=5, le=1000, description="Bars a symbol needs before a model may forecast it."
    )
    gate_margin: float = Field(
        0.001, ge=0, le=0.5, description="Least relative improvement that promotes a challenger."
    )
    gate_confidence: float = Field(
        0.95, gt=0.5, lt=1, description="Confidence of the improvement that promotes a challenger."
    )
    max_rows: int = Field(
        250_000,
        ge=10_000,
        description="Rows that a training looks at; of a larger history every fifth trading date "
        "at most, and of those dates an even sample.",
    )
    refresh_days: int = Field(
        250,
        ge=0,
        le=5000,
        description="Trading days of new data after which the champion's own recipe is refitted "
        "and replaces it without having to beat it; 0 never does.",
    )
    seed: int = Field(20240229, ge=0, description="Seed of everything random in training.")
    runner: Literal["threads", "dask"] = Field(
        "threads", description="Where candidates and folds run: threads or dask."
    )
    dask_address: str | None = Field(
        None,
        description="Address of a Dask scheduler, such as tcp://10.0.0.5:8786, whose workers have "
        "weekahead installed and reach the object store; default: a local cluster.",
    )
    stale_days: int = Field(
        30,
        ge=1,
        le=3650,
        description="Calendar days behind the newest bar after which a symbol is not forecast.",
    )
    backfill_refit_days: int = Field(
        21, ge=1, le=1000, description="Trading days between refits when the ledger is back-filled."
    )
    backfill_selection_days: int = Field(
        250, ge=1, le=5000, description="Trading days between selections during a back-fill."
    )
    score_window_days: int = Field(
        250, ge=20, le=5000, description="Latest as-of dates per model version that are judged."
    )
    score_min_dates: int = Field(
        40, ge=5, le=1000, description="As-of dates below which nothing is judged."
    )
    coverage_tolerance: float = Field(
        0.06, gt=0, lt=0.5, description="Coverage further than this from its level is a warning."
    )
    skill_limit: float = Field(
        1.02, gt=0.5, le=5, description="Error relative to the last price above which to warn."
    )
    adaptive: bool = Field(
        True,
        description="Keep the intervals calibrated by the outcomes in the ledger (adaptive "
        "conformal inference).",
    )
    move: float = Field(
        0.05,
        gt=0,
        lt=1,
        description="Each forecast has the probability of a move beyond plus or minus this share.",
    )
    cost_bps: float = Field(
        10,
        ge=0,
        le=1000,
        description="Cost of a purchase or a sale in the back-test, in basis points (0.01 %).",
    )
    benchmarks: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9^._=&-]{1,32}$")], ...] = Field(
        ("MCFTR", "^SP500TR"),
        min_length=1,
        description="Symbols of total-return indices: the back-test is compared with the one that "
        "its source has, and holds none of them.",
    )
    drift_limit: float = Field(
        0.25, gt=0, le=1, description="Kolmogorov-Smirnov distance that counts as feature drift."
    )
    drift_window_days: int = Field(
        63, ge=5, le=1000, description="Latest trading days compared with the training features."
    )
