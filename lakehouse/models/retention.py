"""Decides which model versions keep the lake's snapshots that they were trained on.

Present and past champions do, because whatever served must stay reproducible. Other versions keep
theirs only for a while: every training run tags snapshots, and most challengers are rejected.
"""

import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from catalog.snapshots import untag_snapshot
from catalog.tables import TABLES
from lakehouse.connections import tracking
from lakehouse.connections.tracking import TAG
from lakehouse.models import registry
from lakehouse.platform import Platform

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

log = logging.getLogger("weekahead")
RELEASED = f"{TAG}snapshots_released_at"


def release_snapshots(platform: Platform) -> tuple[str, ...]:
    """Remove the snapshot tags of old versions that never served.

    The snapshots then expire like any other. ``reproduce`` works until they have.

    Returns:
        The versions whose snapshots were released.
    """
    if not tracking.is_used(platform.settings):
        return ()
    models = platform.models
    serving = registry.champion(models)
    days = platform.settings.maintenance.keep_rejected_days
    limit = datetime.now(UTC) - timedelta(days)
    released = []
    for version in models.client.search_model_versions(f"name='{models.name}'"):
        served = registry.PROMOTED in version.tags or (
            serving is not None and version.version == serving.version
        )
        if served or RELEASED in version.tags or _created(version) > limit:
            continue
        for definition in TABLES:
            untag_snapshot(platform.lake, definition, registry.snapshot_tag(version))
        number = str(version.version)
        models.client.set_model_version_tag(models.name, number, RELEASED, registry.now())
        log.info(f"maintain: v{version.version} never served; its snapshots may expire")
        released.append(str(version.version))
    return tuple(released)


def _created(version: "ModelVersion") -> datetime:
    return datetime.fromtimestamp(version.creation_timestamp / 1000, UTC)
