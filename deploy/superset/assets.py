"""Superset's assets as plain files: bundles for the importer, and exports made small.

Used by ``bootstrap.py`` and ``export.py`` in Superset's environment, and by the tests in the
project's own; so it needs PyYAML and nothing of Superset.
"""

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

ASSETS = Path(__file__).resolve().parent / "assets"
DATABASE_FILE = "databases/warehouse.yaml"
HIDDEN_PASSWORD = "XXXXXXXXXX"  # noqa: S105 - what Superset writes in place of a password
LONGEST_NAME = 60
METADATA = "version: 1.0.0\ntype: assets\ntimestamp: '2000-01-01T00:00:00+00:00'\n"

# What differs between two installations, or from one save to the next, and means nothing.
_NOISE = {
    "charts": {"query_context", "certified_by", "certification_details", "cache_timeout"},
    "dashboards": {"certified_by", "certification_details", "theme_uuid", "css"},
    "databases": {"cache_timeout", "impersonate_user"},
    "datasets": {"template_params", "fetch_values_predicate", "cache_timeout", "catalog"},
}
_PARAMS_NOISE = {"datasource", "slice_id", "dashboards", "dashboardId", "url_params", "viz_type"}
_METADATA_NOISE = {
    "map_label_colors",
    "shared_label_colors",
    "color_scheme_domain",
    "default_filters",
    "filter_scopes",
    "timed_refresh_immune_slices",
    "expanded_slices",
    "chart_configuration",
    "global_chart_configuration",
    "show_native_filters",
    "positions",
    "stagger_refresh",
    "stagger_time",
}


def read_assets(root: Path = ASSETS) -> dict[str, str]:
    """All asset files, by their path below the root."""
    files = sorted(root.glob("*/**/*.yaml"))
    return {str(path.relative_to(root)): path.read_text() for path in files}


def bundle(warehouse: str, *, root: Path = ASSETS) -> dict[str, str]:
    """What the importer takes: every file, and the address of the warehouse filled in.

    Args:
        warehouse: ``clickhousedb://user@host:port/marts``, without the password: the importer gets
            that apart from the files.
        root: Where the assets are.
    """
    contents = read_assets(root)
    database = yaml.safe_load(contents[DATABASE_FILE])
    # Superset keeps the password it is given only where the address shows that there is one.
    database["sqlalchemy_uri"] = warehouse.replace("@", f":{HIDDEN_PASSWORD}@", 1)
    contents[DATABASE_FILE] = yaml.safe_dump(database, sort_keys=True)
    return {"metadata.yaml": METADATA, **contents}


def fingerprint(contents: Mapping[str, str]) -> str:
    """Changes whenever a file does."""
    digest = sha256()
    for name, text in sorted(contents.items()):
        digest.update(f"{name}\0{text}\0".encode())
    return digest.hexdigest()


def normalise(exported: Mapping[str, str]) -> dict[str, str]:
    """Superset's export as it is kept in the repository.

    Files are named after what they hold instead of numbers, keys are sorted, and everything that
    differs between two installations or means the default is left out: an import followed by an
    export changes nothing.

    Args:
        exported: Texts by path, without the export's root folder.
    """
    result = {}
    for path, text in exported.items():
        kind = path.split("/", 1)[0]
        if kind in _NOISE:
            content = yaml.safe_load(text)
            content = {key: value for key, value in content.items() if key not in _NOISE[kind]}
            name = _file_name(kind, content)
            if name in result:
                raise ValueError(f"Two assets would be kept in {name}: give one another title.")
            result[name] = _dump(_CLEANERS[kind](content))
    return dict(sorted(result.items()))


def _file_name(kind: str, content: dict[str, Any]) -> str:
    if kind == "databases":
        return DATABASE_FILE
    title = {
        "charts": content.get("slice_name"),
        "dashboards": content.get("slug") or content.get("dashboard_title"),
        "datasets": content.get("table_name"),
    }[kind]
    words = "".join(letter if letter.isalnum() else " " for letter in str(title).lower()).split()
    folder = "datasets/warehouse" if kind == "datasets" else kind
    return f"{folder}/{'_'.join(words)[:LONGEST_NAME].rstrip('_')}.yaml"


def _clean_chart(chart: dict[str, Any]) -> dict[str, Any]:
    params = chart.get("params") or {}
    chart["params"] = {
        key: value
        for key, value in params.items()
        if key not in _PARAMS_NOISE and value != "" and (key, value) != ("annotation_layers", [])
    }
    return _without_empty(chart)


def _clean_dashboard(dashboard: dict[str, Any]) -> dict[str, Any]:
    numbers = _renumber_charts(dashboard["position"])
    metadata = dashboard.get("metadata") or {}
    dashboard["metadata"] = {
        key: value for key, value in metadata.items() if key not in _METADATA_NOISE
    }
    for native in dashboard["metadata"].get("native_filter_configuration", []):
        for key in ("chartsInScope", "tabsInScope"):
            # The front end works these out from the scope.
            native.pop(key, None)
        scope = native.get("scope", {})
        scope["excluded"] = sorted(
            numbers[number] for number in scope.get("excluded", []) if number in numbers
        )
    return _without_empty(dashboard)


def _renumber_charts(position: dict[str, Any]) -> dict[int, int]:
    """Give the charts of a dashboard numbers of its own; the importer only needs them to agree.

    Returns:
        New numbers by those of the installation.
    """
    metas = [
        part["meta"]
        for part in position.values()
        if isinstance(part, dict) and part.get("type") == "CHART"
    ]
    numbers = {}
    for number, meta in enumerate(sorted(metas, key=lambda meta: str(meta["uuid"])), start=1):
        numbers[meta.get("chartId", number)] = number
        meta["chartId"] = number
    return numbers


def _clean_database(database: dict[str, Any]) -> dict[str, Any]:
    database["sqlalchemy_uri"] = f"clickhousedb://reader:{HIDDEN_PASSWORD}@localhost:8123/marts"
    return _without_empty(database)


def _clean_dataset(dataset: dict[str, Any]) -> dict[str, Any]:
    dataset["columns"] = sorted(dataset.get("columns", []), key=lambda c: c["column_name"])
    dataset["metrics"] = sorted(dataset.get("metrics", []), key=lambda m: m["metric_name"])
    return _without_empty(dataset)


_CLEANERS = {
    "charts": _clean_chart,
    "dashboards": _clean_dashboard,
    "databases": _clean_database,
    "datasets": _clean_dataset,
}


def _without_empty(value: Any) -> Any:
    """The value without keys that hold nothing, at any depth of dictionaries."""
    if isinstance(value, dict):
        cleaned = {key: _without_empty(item) for key, item in value.items()}
        return {key: item for key, item in cleaned.items() if item is not None and item != {}}
    if isinstance(value, list):
        return [_without_empty(item) for item in value]
    return value


class _Dumper(yaml.SafeDumper):
    """Long texts as blocks, everything else on as few lines as is readable."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def _dump(content: dict[str, Any]) -> str:
    text: str = yaml.dump(
        content, Dumper=_Dumper, sort_keys=True, allow_unicode=True, width=100, indent=2
    )
    return text
