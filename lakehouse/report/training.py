"""What serves and the walk-forward figures of the latest training, from MLflow."""

from dataclasses import dataclass

from lakehouse.settings import Settings


@dataclass(frozen=True)
class Walkforward:
    """A candidate's out-of-sample figures five days ahead (None where there is none).

    Attributes:
        kind: The candidate.
        against_last_price: Mean absolute error divided by that of the last price.
        against_drift: The same by that of drift.
        rank_ic: Mean daily rank correlation of forecast and outcome.
        hit_rate: Share of right signs.
        always_up: Share of rises.
        coverage_80: Share of outcomes in the 80 % interval.
        coverage_95: Likewise, 95 %.
    """

    kind: str
    against_last_price: float | None
    against_drift: float | None
    rank_ic: float | None
    hit_rate: float | None
    always_up: float | None
    coverage_80: float | None
    coverage_95: float | None


@dataclass(frozen=True)
class Training:
    """What the registry says.

    Attributes:
        serving_kind: The candidate that serves, or None.
        serving_version: Its version, or None.
        candidates: Figures of the latest finished training, best first; may be empty.
    """

    serving_kind: str | None
    serving_version: str | None
    candidates: tuple[Walkforward, ...]


def read_training(settings: Settings) -> Training:
    """Read the champion and the latest training's figures.

    Raises:
        ServiceError: MLflow does not answer.
    """
    from lakehouse.forecasting import registry, tracking, training_log

    client = tracking.connect(settings)
    version = registry.champion(client, settings)
    runs = client.search_runs(
        [tracking.experiment_id(client, settings)],
        filter_string="tags.`mlflow.runName` = 'training' and attributes.status = 'FINISHED'",
        order_by=["attributes.start_time DESC"],
        max_results=1,
    )
    found = training_log.read_candidates(client, settings, runs[0].info.run_id) if runs else ()
    horizon = settings.forecast.horizons
    return Training(
        registry.version_kind(version) if version else None,
        str(version.version) if version else None,
        tuple(_figures(candidate.kind, candidate.figures, horizon) for candidate in found),
    )


def _figures(kind: str, figures: dict[str, float], horizon: int) -> Walkforward:
    def of(name: str) -> float | None:
        return figures.get(f"{name}_h{horizon}")

    return Walkforward(
        kind,
        of("mae_vs_last_price"),
        of("mae_vs_drift"),
        of("rank_ic"),
        of("hit_rate"),
        of("always_up"),
        of("coverage_80"),
        of("coverage_95"),
    )
