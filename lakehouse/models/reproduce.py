"""Reproduces a model version: data from the lake's snapshots, figures equal to the last digit."""

import json
import logging
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catalog.connect import load_table
from catalog.tables import BY_NAME
from lakehouse.connections.clickhouse_client import connect
from lakehouse.connections.tracking import TAG
from lakehouse.errors import DataError
from lakehouse.forecasting.development import develop
from lakehouse.forecasting.scales import REFERENCE
from lakehouse.models import registry, training_log, warehouse_data
from lakehouse.models.retention import RELEASED
from lakehouse.models.training import code_hash
from lakehouse.panel.dataset import HORIZONS, Dataset
from lakehouse.panel.sampling import Sampling
from lakehouse.platform import Platform
from lakehouse.settings import Settings
from lakehouse.settings.forecast import ForecastSettings
from lakehouse.warehouse.builds import last_build
from lakehouse.warehouse.transform import transform

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion
    from pyiceberg.catalog import Catalog

log = logging.getLogger("weekahead")
NEEDED = "+fct_features +int_targets +fct_findings"


@dataclass(frozen=True)
class ReproductionReport:
    """A version trained again.

    Attributes:
        model: Name in the registry.
        version: The version.
        kind: Its point model.
        identical: Whether data and figures are the same.
        data_digest: SHA-256 of the rebuilt data.
        recorded_digest: SHA-256 recorded at training.
        figures: Number of figures compared.
        differences: Differences with both values; empty if identical.
        notes: Changes in code or libraries, which need not change the figures.
        seconds: Duration.
    """

    model: str
    version: str
    kind: str
    identical: bool
    data_digest: str
    recorded_digest: str
    figures: int
    differences: tuple[str, ...]
    notes: tuple[str, ...]
    seconds: float

    @property
    def exit_code(self) -> int:
        """0 if identical, else 1."""
        return 0 if self.identical else 1

    def to_dict(self) -> dict[str, Any]:
        """The report as a dictionary, for JSON."""
        return asdict(self)


def reproduce(platform: Platform, version: str) -> ReproductionReport:
    """Rebuild a version's training data from its snapshots, train again and compare.

    dbt builds the data in scratch databases, which are dropped afterwards; warehouse, registry and
    lake stay unchanged.

    Args:
        platform: Lake, models and warehouse; training settings come from the version.
        version: Number of the version, or ``champion``.

    Returns:
        Whether data and figures are identical, and the differences.

    Raises:
        UsageError: There is no such version.
        DataError: A snapshot that it was trained on has expired, or an older weekahead trained it
            for another horizon.
    """
    started = time.monotonic()
    models = platform.models
    found = registry.get_version(models, version)
    tags = {name.removeprefix(TAG): value for name, value in found.tags.items()}
    snapshots = json.loads(tags["snapshots"])
    _require_snapshots(platform.lake, snapshots, found)
    forecast = _recorded_settings(found, tags["settings"])
    how = platform.settings.model_copy(update={"forecast": forecast})
    log.info(f"reproduce: building the features of v{found.version} from its snapshots")
    # Versions older than sampling were trained on everything.
    sampling = Sampling.from_json(tags.get("sampling"))
    with _rebuilt(how, snapshots, str(found.version), sampling) as (dataset, dbt_models):
        digest = dataset.digest()
        log.info(f"reproduce: data {'identical' if digest == tags['data_digest'] else 'DIFFER'}")
        with tempfile.TemporaryDirectory() as folder:
            development = develop(dataset, forecast, workspace=Path(folder))
    again = development.figures(tags["kind"], tags.get("scale", REFERENCE))
    differences = compare(_recorded(models.client, str(found.run_id)), again)
    if digest != tags["data_digest"]:
        differences = (f"data: {tags['data_digest']} then, {digest} now", *differences)
    return ReproductionReport(
        model=found.name,
        version=str(found.version),
        kind=tags["kind"],
        identical=not differences,
        data_digest=digest,
        recorded_digest=tags["data_digest"],
        figures=len(again),
        differences=differences,
        notes=_notes(tags, dbt_models),
        seconds=round(time.monotonic() - started, 3),
    )


def compare(then: Mapping[str, float], now: Mapping[str, float]) -> tuple[str, ...]:
    """List the figures that are not equal to the last digit.

    Args:
        then: Recorded figures by name.
        now: New figures by name.

    Returns:
        One line per difference, with both values; a missing figure shows as None.
    """
    return tuple(
        f"{name}: {then.get(name)!r} then, {now.get(name)!r} now"
        for name in sorted(then.keys() | now.keys())
        if then.get(name) != now.get(name)
    )


def _recorded_settings(version: "ModelVersion", recorded: str) -> ForecastSettings:
    settings = json.loads(recorded)
    # A setting of earlier versions.
    horizons = settings.pop("horizons", HORIZONS)
    if horizons != HORIZONS:
        raise DataError(
            f"v{version.version} cannot be reproduced: an earlier version of weekahead trained it "
            f"for {horizons} days ahead, and models are for {HORIZONS} now."
        )
    return ForecastSettings.model_validate(settings)


def _recorded(client: "MlflowClient", run_id: str) -> dict[str, float]:
    return dict(client.get_run(run_id).data.metrics)


def _require_snapshots(
    lake: "Catalog", snapshots: Mapping[str, int | None], version: "ModelVersion"
) -> None:
    for name, snapshot in snapshots.items():
        table = load_table(lake, BY_NAME[name])
        if snapshot is not None and table.snapshot_by_id(snapshot) is None:
            gone = (
                f"v{version.version} cannot be reproduced: snapshot {snapshot} of {name}, which it "
                "was trained on, no longer exists. "
            )
            if released := version.tags.get(RELEASED):
                raise DataError(
                    f"{gone}It never served, so 'weekahead maintain' released its snapshots on "
                    f"{released[:10]}; see WEEKAHEAD_MAINTENANCE__KEEP_REJECTED_DAYS."
                )
            raise DataError(
                f"{gone}Maintenance keeps tagged snapshots: was the tag removed by hand?"
            )


@contextmanager
def _rebuilt(
    settings: Settings,
    snapshots: dict[str, int | None],
    version: str,
    sampling: Sampling,
) -> Iterator[tuple[Dataset, str]]:
    layers = {
        layer: f"scratch_v{version}_{layer}" for layer in ("staging", "intermediate", "marts")
    }
    try:
        with Platform(settings) as own:
            transform(own, select=NEEDED, full_refresh=True, snapshots=snapshots, databases=layers)
        with connect(settings, "admin") as warehouse:
            dataset = warehouse_data.read_dataset(
                warehouse, sampling, marts=layers["marts"], intermediate=layers["intermediate"]
            )
            build = last_build(warehouse)
        yield dataset, build.models if build else ""
    finally:
        with connect(settings, "admin") as warehouse:
            for database in layers.values():
                warehouse.command(f"DROP DATABASE IF EXISTS `{database}`")


def _notes(tags: Mapping[str, str], models: str) -> tuple[str, ...]:
    notes = []
    if tags["code"] != code_hash():
        notes.append("the forecasting code has changed since")
    if tags["dbt_models"] != models:
        notes.append("the dbt models have changed since")
    then, now = json.loads(tags["libraries"]), training_log.library_versions()
    notes += [
        f"{name} was {then.get(name)} and is {now[name]}"
        for name in now
        if then.get(name) != now[name]
    ]
    return tuple(notes)
