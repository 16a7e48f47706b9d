"""Limits for keeping the lake small without losing what must stay."""

from pydantic import Field

from catalog.settings import Section


class MaintenanceSettings(Section):
    """Compaction, expiry of snapshots, and removal of orphan files."""

    keep_days: int = Field(
        30, ge=0, le=36500, description="Snapshots younger than this stay, tagged ones always."
    )
    keep_rejected_days: int = Field(
        90,
        ge=0,
        le=36500,
        description="Days for which a model version that never served keeps its snapshots; those "
        "of champions, past and present, stay.",
    )
    orphan_age_hours: float = Field(
        24.0,
        ge=0,
        description="Files that no snapshot needs are deleted when older than this; it must be "
        "longer than any load takes, because a load writes its files before it commits them.",
    )
    small_files: int = Field(
        8, ge=1, le=1000, description="A partition with more data files than this is rewritten."
    )
