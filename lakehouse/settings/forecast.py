"""Training, validation and the registry's gate."""

from pydantic import BaseModel, Field


class ForecastSettings(BaseModel):
    """How models are validated and when one may serve."""

    horizons: int = Field(5, ge=1, le=20, description="Trading days ahead: 1 to this number.")
    folds: int = Field(5, ge=2, le=50, description="Walk-forward test windows.")
    embargo_days: int = Field(
        5, ge=0, le=250, description="Trading days left out between training and test, beyond purging."
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
    seed: int = Field(20240229, ge=0, description="Seed of everything random in training.")
    runner: str = Field("threads", pattern="^(threads|dask)$", description="threads or dask.")
