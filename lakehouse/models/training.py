"""Training: validates the candidates, registers the best, and lets the gate decide."""

import hashlib
import json
import logging
import time
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from catalog.snapshots import tag_snapshot
from catalog.tables import BY_NAME
from lakehouse.connections import tracking
from lakehouse.connections.tracking import TAG, Models
from lakehouse.forecasting.candidates import CANDIDATES
from lakehouse.forecasting.criterion import criterion
from lakehouse.forecasting.development import Development, develop, serving_model
from lakehouse.forecasting.gate import Verdict
from lakehouse.forecasting.scales import SCALES
from lakehouse.forecasting.walkforward import Execute
from lakehouse.models import registry, training_log, warehouse_data
from lakehouse.models.model_card import model_card
from lakehouse.models.promotion import (
    gate_decision,
    present_champion,
    record_decision,
    write_down,
)
from lakehouse.models.training_log import Candidate
from lakehouse.panel.dataset import unique_dates
from lakehouse.panel.sampling import Sampling
from lakehouse.platform import Platform
from lakehouse.settings import Settings
from lakehouse.settings.forecast import ForecastSettings

if TYPE_CHECKING:
    from mlflow.entities import Run

log = logging.getLogger("weekahead")


@dataclass(frozen=True)
class TrainingReport:
    """What a training run did.

    Attributes:
        skipped: Nothing had changed since an earlier training, whose figures these are.
        dry_run: Nothing was registered or promoted.
        reason: The gate's reason, or why nothing was done.
        action: ``first``, ``promote``, ``keep``, ``refresh`` or ``skip``.
        challenger_kind: The point model that did best before the gate's window.
        challenger_version: Its version in the registry.
        champion_kind: The point model that serves now.
        champion_version: Its version.
        run_id: MLflow run of the training.
        candidates: Figures of every point model, best first.
        challenger_scale: The scale model that did best before the gate's window.
        champion_scale: The scale model that serves now.
        scales: Figures of every scale model, best first.
        comparisons: The challenger against champion and baselines on the gate's window.
        band_comparisons: The challenging scale model against the reference and the champion's.
        criterion: Hash of the gate's criterion, which was stored before the evaluation.
        scheme: The validation scheme, one entry per fold.
        snapshots: The lake's snapshots that the data came from.
        data_digest: SHA-256 of features and targets.
        rows: Rows of the dataset.
        seconds: Duration.
    """

    skipped: bool
    dry_run: bool
    reason: str
    action: str
    challenger_kind: str | None
    challenger_version: str | None
    champion_kind: str | None
    champion_version: str | None
    run_id: str | None
    candidates: tuple[Candidate, ...]
    challenger_scale: str | None
    champion_scale: str | None
    scales: tuple[Candidate, ...]
    comparisons: tuple[dict[str, Any], ...]
    band_comparisons: tuple[dict[str, Any], ...]
    criterion: str
    scheme: tuple[dict[str, Any], ...]
    snapshots: dict[str, int | None]
    data_digest: str
    rows: int
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """The report as a dictionary for JSON, with dates as text."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self), default=str))
        return plain


def train(
    platform: Platform,
    *,
    force: bool = False,
    dry_run: bool = False,
    execute: Execute | None = None,
) -> TrainingReport:
    """Train on the current marts, unless an earlier training already used the same inputs.

    Args:
        platform: Warehouse, models and lake, and how to train.
        force: Train although data, settings and code equal those of an earlier training.
        dry_run: Let the gate decide, but register and promote nothing.
        execute: Runs a function over tasks (candidates on folds) and returns the results in
            order; both can be pickled, so another process may run them if it can read the home
            directory.

    Returns:
        Figures of all candidates, the gate's decision, and what serves.

    Raises:
        NotEnoughData: The marts are missing, or the history is too short.
        ServiceError: ClickHouse or MLflow does not answer.
    """
    started = time.monotonic()
    settings, models, warehouse = platform.settings, platform.models, platform.warehouse
    built = warehouse_data.built_from(warehouse)
    key = training_key(settings, built)
    sampling = warehouse_data.choose_sampling(warehouse, settings)
    if not force and (found := _trained_already(platform, models, built, sampling)):
        run, reason = found
        report = _unchanged(models, settings.forecast, run, built.snapshots, reason)
        if report is not None:
            log.info(f"train: {report.reason}")
            return report
    dataset = warehouse_data.read_dataset(warehouse, sampling)
    if not sampling.is_everything:
        log.info(f"train: {len(dataset.frame):,} rows of the history are used: {sampling}")
    workspace = settings.home / "forecasting"
    workspace.mkdir(parents=True, exist_ok=True)
    asked = criterion(settings.forecast, CANDIDATES, SCALES)
    write_down(platform.lake, asked)
    # Validation may take hours.
    platform.close()
    development = develop(dataset, settings.forecast, workspace=workspace, execute=execute)
    champion = present_champion(models, development)
    verdict = gate_decision(development, champion, settings.forecast)
    log.info(f"gate: {verdict.reason}")
    outcome = _Outcome()
    digest = dataset.digest()
    if not dry_run:
        tags = _describe(settings, development, built, digest, sampling)
        outcome = _record(platform, models, development, verdict, built, key, tags)
    record_decision(
        platform,
        development,
        verdict,
        champion,
        run_id=outcome.run_id,
        versions=outcome.versions,
        criterion=asked,
        dry_run=dry_run,
    )
    kept = champion.version if champion else None
    return TrainingReport(
        skipped=False,
        dry_run=dry_run,
        reason=verdict.reason,
        action=verdict.action,
        challenger_kind=verdict.point.challenger,
        challenger_version=outcome.versions.get(verdict.challenger),
        champion_kind=verdict.point.serves,
        champion_version=outcome.versions.get(verdict.serves) if verdict.changes else kept,
        run_id=outcome.run_id,
        candidates=outcome.candidates or training_log.figures(development),
        challenger_scale=verdict.band.challenger,
        champion_scale=verdict.band.serves,
        scales=training_log.scale_figures(development),
        comparisons=tuple(asdict(one) for one in verdict.point.comparisons),
        band_comparisons=tuple(asdict(one) for one in verdict.band.comparisons),
        criterion=asked.digest,
        scheme=tuple(_records(development.scheme)),
        snapshots=built.snapshots,
        data_digest=digest,
        rows=len(dataset.frame),
        seconds=round(time.monotonic() - started, 3),
    )


def training_key(settings: Settings, built: warehouse_data.BuiltFrom) -> str:
    """Hash of everything that a training depends on.

    Args:
        settings: How to train, and the name of the model.
        built: Snapshots and dbt models that the marts were built from.

    Returns:
        SHA-256 over snapshots, dbt models, code and settings, in hexadecimal.
    """
    parts = [json.dumps(built.snapshots, sort_keys=True), recipe_key(settings, built)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def recipe_key(settings: Settings, built: warehouse_data.BuiltFrom) -> str:
    """Hash of how a training is done, without the data.

    Args:
        settings: How to train, and the name of the model.
        built: Gives the hash of the dbt models.

    Returns:
        SHA-256 over dbt models, code and settings, in hexadecimal.
    """
    parts = [
        built.models,
        code_hash(),
        settings.forecast.model_dump_json(exclude={"runner", "dask_address"}),
        settings.mlflow.model_name,
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def code_hash() -> str:
    """SHA-256 over the source of this package."""
    digest = hashlib.sha256()
    root = Path(__file__).parent
    for path in sorted(root.rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class _Outcome:
    run_id: str | None = None
    candidates: tuple[Candidate, ...] = ()
    versions: dict[tuple[str, str], str] = field(default_factory=dict)


def _record(
    platform: Platform,
    models: Models,
    development: Development,
    verdict: Verdict,
    built: warehouse_data.BuiltFrom,
    key: str,
    tags: dict[str, str],
) -> _Outcome:
    """Write runs, models, versions, the champion alias and the lake's tags."""
    settings, client = platform.settings.forecast, models.client
    tracking.close_dead_runs(models, platform.settings.home)
    run_id, candidates = training_log.log_training(
        models,
        settings,
        development,
        tags=tags | {"training_key": key},
        snapshots=built.snapshots,
        digest=tags["data_digest"],
    )
    log.info(f"train: logged run {run_id} to MLflow")
    versions: dict[tuple[str, str], str] = {}
    with training_log.finishing(client, run_id):
        pairs = [verdict.challenger]
        if verdict.changes and verdict.serves != verdict.challenger:
            pairs.append(verdict.serves)
        for kind, scale in pairs:
            run = training_log.pair_run(models, run_id, kind, scale)
            model = serving_model(development, kind, settings, scale=scale)
            source = training_log.log_model(client, development, model, run)
            figures = development.figures(kind, scale)
            training_log.log_figures(client, run, figures, source)
            card = model_card(development, verdict, kind, scale, figures, tags)
            client.log_text(run, card, "model_card.md")
            serves = verdict.changes and (kind, scale) == verdict.serves
            version = registry.register(
                models,
                source=source,
                run_id=run,
                tags={
                    f"{TAG}{name}": value
                    for name, value in (
                        tags
                        | {"kind": kind, "scale": scale}
                        | {"gate": verdict.action if serves else "rejected"}
                        | {"gate_reason": verdict.reason, "training_run": run_id}
                    ).items()
                },
                description=card,
            )
            versions[kind, scale] = str(version.version)
            for name, snapshot in built.snapshots.items():
                if snapshot is not None:
                    tag = registry.snapshot_tag(version)
                    tag_snapshot(platform.lake, BY_NAME[name], snapshot, tag)
        if verdict.changes:
            registry.promote(models, versions[verdict.serves])
            log.info(f"train: v{versions[verdict.serves]} ({' and '.join(verdict.serves)}) serves")
    ordered = sorted(candidates, key=lambda candidate: candidate.selection)
    return _Outcome(run_id, tuple(ordered), versions)


def _describe(
    settings: Settings,
    development: Development,
    built: warehouse_data.BuiltFrom,
    digest: str,
    sampling: Sampling,
) -> dict[str, str]:
    """Everything needed to train the same model again."""
    dates = development.dataset.dates
    return {
        "snapshots": json.dumps(built.snapshots, sort_keys=True),
        "settings": settings.forecast.model_dump_json(),
        "sampling": sampling.to_json(),
        "data_digest": digest,
        "code": code_hash(),
        "home": tracking.home_name(settings.home),
        "dbt_models": built.models,
        "libraries": json.dumps(training_log.library_versions(), sort_keys=True),
        "trained_until": str(dates.max()),
        "history_until": str(unique_dates(development.dataset).max()),
        "recipe": recipe_key(settings, built),
        "sources": json.dumps(development.dataset.sources),
        "gate_cutoff": development.gate.cutoff.isoformat(),
    }


def _trained_already(
    platform: Platform,
    models: Models,
    built: warehouse_data.BuiltFrom,
    sampling: Sampling,
) -> "tuple[Run, str] | None":
    """An earlier training that is still valid, and why.

    If the history is thinned to every n-th date, fewer than n new dates add nothing to learn from.
    """
    key = training_key(platform.settings, built)
    if run := tracking.last_run(models, training_key=key):
        return run, "nothing changed since the last training"
    run = tracking.last_run(models, recipe=recipe_key(platform.settings, built))
    until = run.data.tags.get(f"{TAG}history_until") if run else None
    if run is None or until is None:
        return None
    new = warehouse_data.dates_after(platform.warehouse, date.fromisoformat(until))
    if not 0 < new < sampling.step:
        # No new dates means that older ones were corrected, which does require training.
        return None
    return run, f"{new} new trading days of the {sampling.step} that a training waits for"


def _unchanged(
    models: Models,
    settings: ForecastSettings,
    run: "Run",
    snapshots: dict[str, int | None],
    reason: str,
) -> TrainingReport | None:
    version = registry.champion(models)
    if version is None:
        return None
    reason = f"{reason}; v{version.version} serves"
    run_id = str(run.info.run_id)
    return TrainingReport(
        skipped=True,
        dry_run=False,
        reason=reason,
        action="skip",
        challenger_kind=None,
        challenger_version=None,
        champion_kind=registry.version_kind(version),
        champion_version=str(version.version),
        run_id=run_id,
        candidates=training_log.read_candidates(models, run_id),
        challenger_scale=None,
        champion_scale=registry.version_scale(version),
        scales=training_log.read_candidates(models, run_id, part="scale"),
        comparisons=(),
        band_comparisons=(),
        criterion=criterion(settings, CANDIDATES, SCALES).digest,
        scheme=(),
        snapshots=snapshots,
        data_digest=run.data.tags[f"{TAG}data_digest"],
        rows=int(run.data.params["rows"]),
        seconds=0.0,
    )


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]
