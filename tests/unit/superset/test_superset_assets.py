"""The dashboards' files: what is written in them agrees with itself and with the marts."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import yaml

from lakehouse.settings import PROJECT_ROOT

DEPLOY = PROJECT_ROOT / "deploy" / "superset"


def module(name: str) -> Any:
    """A module of Superset's environment, where these are no package."""
    spec = importlib.util.spec_from_file_location(f"superset_{name}", DEPLOY / f"{name}.py")
    assert spec
    assert spec.loader
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


assets, translate = module("assets"), module("translate")

# Okabe and Ito, 2008; and nothing, below a bar that does not start at zero.
PALETTE = {
    "transparent",
    "#000000",
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#F0E442",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
}


def read(kind: str) -> dict[str, dict[str, Any]]:
    files = (DEPLOY / "assets" / kind).rglob("*.yaml")
    return {path.stem: yaml.safe_load(path.read_text()) for path in files}


def mart(name: str) -> dict[str, str]:
    """Column names and types of a mart."""
    path = PROJECT_ROOT / "dbt" / "models" / "marts" / f"{name}.yml"
    (model,) = yaml.safe_load(path.read_text())["models"]
    return {column["name"]: column["data_type"] for column in model["columns"]}


@pytest.mark.parametrize("name", sorted(read("datasets")))
def test_datasets_have_only_columns_of_their_mart_and_describe_all(name: str) -> None:
    dataset = read("datasets")[name]
    assert dataset["schema"] == "marts"
    columns = mart(dataset["table_name"])
    for column in dataset["columns"]:
        assert column["description"].strip()
        if "expression" not in column:
            assert columns[column["column_name"]] == column["type"]
    for metric in dataset["metrics"]:
        assert metric["description"].strip()
        # With a column's name, the expression would be mistaken for it (docs/dashboards.md).
        assert metric["metric_name"] not in columns


def test_charts_are_described_and_stand_on_a_dashboard() -> None:
    used = [
        part["meta"]["uuid"]
        for dashboard in read("dashboards").values()
        for part in dashboard["position"].values()
        if isinstance(part, dict) and part["type"] == "CHART"
    ]
    charts = read("charts")
    datasets = {dataset["uuid"]: dataset for dataset in read("datasets").values()}
    assert sorted(used) == sorted(chart["uuid"] for chart in charts.values())
    for name, chart in charts.items():
        assert chart["description"].strip(), name
        known = {m["metric_name"] for m in datasets[chart["dataset_uuid"]]["metrics"]}
        params = chart["params"]
        metrics = [*params.get("metrics", []), *params.get("metrics_b", [])]
        metrics += filter(None, [params.get("metric")])
        assert set(metrics) <= known, name
        assert params.get("row_limit", 1) <= 10_000, name


def test_colours_are_readable_with_any_colour_vision() -> None:
    for dashboard in read("dashboards").values():
        metadata = dashboard["metadata"]
        assert metadata["color_scheme"] == "okabe_ito"
        assert set(metadata["label_colors"].values()) <= PALETTE


def test_no_file_holds_a_password_or_a_number_of_an_installation() -> None:
    database = read("databases")["warehouse"]
    assert f":{assets.HIDDEN_PASSWORD}@" in database["sqlalchemy_uri"]
    assert not any(database[key] for key in ("allow_dml", "allow_ctas", "allow_file_upload"))
    for path in (DEPLOY / "assets").rglob("*.yaml"):
        text = path.read_text()
        for noise in ("query_context", "datasource:", "slice_id", "last_saved", "chartsInScope"):
            assert noise not in text, path


def test_the_bundle_names_the_warehouse_and_hides_the_password() -> None:
    contents = assets.bundle("clickhousedb://reader@example.org:8443/marts?secure=true")
    database = yaml.safe_load(contents[assets.DATABASE_FILE])
    assert database["sqlalchemy_uri"] == (
        "clickhousedb://reader:XXXXXXXXXX@example.org:8443/marts?secure=true"
    )
    assert contents["metadata.yaml"].startswith("version:")


def test_normalising_twice_changes_nothing_and_numbers_do_not_matter(tmp_path: Path) -> None:
    kept = assets.read_assets()
    assert assets.normalise(kept) == kept
    # The same dashboard from an installation that numbers its charts otherwise.
    name = "dashboards/market_and_forecast.yaml"
    moved = yaml.safe_load(kept[name])
    for part in moved["position"].values():
        if isinstance(part, dict) and part["type"] == "CHART":
            part["meta"]["chartId"] = part["meta"]["chartId"] * 7 + 100
    for native in moved["metadata"]["native_filter_configuration"]:
        excluded = native["scope"]["excluded"]
        native["scope"]["excluded"] = [number * 7 + 100 for number in excluded]
        native["chartsInScope"] = [1, 2]
    again = assets.normalise({"dashboards/Market_12.yaml": yaml.safe_dump(moved)})
    assert again == {name: kept[name]}


def test_two_assets_of_one_name_are_refused() -> None:
    chart = assets.read_assets()["charts/forecasts_due.yaml"]
    with pytest.raises(ValueError, match="another title"):
        assets.normalise({"charts/a_1.yaml": chart, "charts/b_2.yaml": chart})


def test_every_text_is_translated_into_every_language() -> None:
    texts = {text: path for path, text in translate.texts(assets.read_assets())}
    assert translate.LANGUAGES == ("en", "ru")
    for language in translate.LANGUAGES[1:]:
        words = translate.table(language)
        assert {path for text, path in texts.items() if text not in words} == set()
        assert words.keys() - texts.keys() == set(), "translations of what is no more"
        # An export finds the way back, because no two texts are translated alike.
        assert len({*words.values(), *words.keys()}) == 2 * len(words)


def test_translated_dashboards_come_back_as_they_were() -> None:
    kept = assets.read_assets()
    russian = translate.to_language(kept, "ru")
    dashboard = yaml.safe_load(russian["dashboards/symbol.yaml"])
    assert dashboard["dashboard_title"] == "Бумага"
    assert dashboard["slug"] == "symbol"
    colours = dashboard["metadata"]["label_colors"]
    assert colours["Закрытие"] == colours["Close"]
    metrics = yaml.safe_load(russian["datasets/warehouse/fct_quotes.yaml"])["metrics"]
    labels = {metric["metric_name"]: metric["verbose_name"] for metric in metrics}
    assert labels["As traded"] == "Торговая цена"
    assert assets.normalise(translate.to_english(russian, "ru")) == kept
    english = translate.to_language(kept, "en")
    metrics = yaml.safe_load(english["datasets/warehouse/fct_quotes.yaml"])["metrics"]
    assert {metric["verbose_name"] for metric in metrics} == {None}
    assert assets.normalise(translate.to_english(english, "en")) == kept


def test_an_unknown_language_is_refused_by_name() -> None:
    with pytest.raises(SystemExit, match="'xx': choose en or ru"):
        translate.table("xx")
