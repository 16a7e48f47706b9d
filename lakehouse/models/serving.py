"""The serving model at a glance, from MLflow's database; its client takes seconds to import."""

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass

from lakehouse.settings import Settings

ALIAS = "champion"
SQLITE = "sqlite:///"
QUERY = """
    select alias.version, tag.key, tag.value
    from registered_model_aliases as alias
    left join model_version_tags as tag on tag.name = alias.name and tag.version = alias.version
    where alias.name = ? and alias.alias = ?
"""


@dataclass(frozen=True)
class Serving:
    """The serving version.

    Attributes:
        version: Its number in the registry.
        kind: Its point model, such as ``drift``.
        trained_until: Date of the newest bar in its training data, ISO.
        sources: The quote sources it was trained on.
    """

    version: str
    kind: str
    trained_until: str
    sources: tuple[str, ...]


def serving(settings: Settings) -> Serving | None:
    """The serving version; None without one, or if MLflow's database is not a file of this home."""
    uri = settings.mlflow_uri
    if not uri.startswith(SQLITE):
        return None
    try:
        with closing(sqlite3.connect(f"file:{uri.removeprefix(SQLITE)}?mode=ro", uri=True)) as base:
            rows = base.execute(QUERY, (settings.mlflow.model_name, ALIAS)).fetchall()
    except sqlite3.Error:
        # The database does not exist yet, or belongs to another version of MLflow.
        return None
    tags = {str(key).removeprefix("weekahead."): str(value) for _, key, value in rows}
    if not rows:
        return None
    return Serving(
        str(rows[0][0]),
        tags.get("kind", "?"),
        tags.get("trained_until", "?"),
        tuple(json.loads(tags.get("sources", "[]"))),
    )
