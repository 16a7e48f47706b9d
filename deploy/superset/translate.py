"""The dashboards in another language: one table of texts for each, no second copy of the assets.

Titles, notes, names of filters, axes, columns and metrics are translated on the way into Superset,
and back on the way out, so that an export changes nothing. Metrics and columns keep the names that
charts go by and get another label. A text that a table lacks stays in English.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

TABLES = Path(__file__).resolve().parent / "translations"
ENGLISH = "en"
LANGUAGES = (ENGLISH, *sorted(path.stem for path in TABLES.glob("*.yaml")))

_CHART = ("slice_name", "description")
_PARAMS = ("x_axis_title", "y_axis_title", "subheader", "subtitle")
_DASHBOARD = ("dashboard_title", "description")
_META = ("text", "code", "sliceName")
_FILTER = ("name", "description")

Change = Callable[[str], str]


@cache
def table(language: str) -> dict[str, str]:
    """Translations by their English text; none for English."""
    if language == ENGLISH:
        return {}
    if language not in LANGUAGES:
        raise SystemExit(f"No dashboards in {language!r}: choose {' or '.join(LANGUAGES)}.")
    texts: dict[str, str] = yaml.safe_load((TABLES / f"{language}.yaml").read_text())
    return texts


def to_language(files: Mapping[str, str], language: str) -> dict[str, str]:
    """The asset files with their texts in a language."""
    words = table(language)

    def put(content: dict[str, Any]) -> None:
        for metric in content.get("metrics") or []:
            # An import takes a label away only where it says that there is none.
            metric["verbose_name"] = metric["metric_name"] if words else None
        _change(content, lambda text: words.get(text, text))
        # The label is what a colour is found by.
        colours = content.get("metadata", {}).get("label_colors", {})
        colours |= {words[name]: colour for name, colour in list(colours.items()) if name in words}

    return _each(files, put)


def to_english(files: Mapping[str, str], language: str) -> dict[str, str]:
    """What ``to_language`` made, as it was before."""
    words = table(language)
    if not words:
        return dict(files)
    english = {text: original for original, text in words.items()}

    def put(content: dict[str, Any]) -> None:
        _change(content, lambda text: english.get(text, text))
        for metric in content.get("metrics") or []:
            if metric.get("verbose_name") == metric["metric_name"]:
                del metric["verbose_name"]
        colours = content.get("metadata", {}).get("label_colors", {})
        for name in english.keys() & colours.keys():
            del colours[name]

    return _each(files, put)


def texts(files: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Every text of the assets that is to be translated, with its file."""
    for path, text in files.items():
        found: list[str] = []

        def note(value: str, found: list[str] = found) -> str:
            found.append(value)
            return value

        content = yaml.safe_load(text)
        for metric in content.get("metrics") or []:
            # A band's two ends are drawn as one, called by the level before these.
            if "__yhat_" not in metric["metric_name"]:
                metric["verbose_name"] = metric["metric_name"]
        _change(content, note)
        yield from ((path, value) for value in found)


def _each(files: Mapping[str, str], put: Callable[[dict[str, Any]], None]) -> dict[str, str]:
    result = {}
    for path, text in files.items():
        content = yaml.safe_load(text)
        put(content)
        result[path] = yaml.safe_dump(content, sort_keys=True, allow_unicode=True)
    return result


def _change(content: dict[str, Any], change: Change) -> None:
    """Replace the texts of a chart, dashboard or dataset in place."""
    if "slice_name" in content:
        _replace(content, _CHART, change)
        params = content.get("params", {})
        _replace(params, _PARAMS, change)
        for layer in params.get("annotation_layers", []):
            _replace(layer, ("name",), change)
        for column in params.get("column_config", {}).values():
            _replace(column, ("customColumnName",), change)
    elif "dashboard_title" in content:
        _replace(content, _DASHBOARD, change)
        for part in content["position"].values():
            if isinstance(part, dict):
                _replace(part.get("meta", {}), _META, change)
        for native in content.get("metadata", {}).get("native_filter_configuration", []):
            _replace(native, _FILTER, change)
    elif "table_name" in content:
        for labelled in (*(content.get("columns") or []), *(content.get("metrics") or [])):
            _replace(labelled, ("verbose_name",), change)


def _replace(content: dict[str, Any], keys: tuple[str, ...], change: Change) -> None:
    for key in keys:
        if content.get(key):
            content[key] = change(content[key])
