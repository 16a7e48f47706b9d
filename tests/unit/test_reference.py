"""Generated reference pages leave nothing out."""

import inspect
from pathlib import Path

from catalog.tables import TABLES
from lakehouse import errors as tree
from lakehouse.settings import Settings
from tools.reference import endpoints, errors, settings, tables

ROOT = Path(__file__).parents[2]


def test_every_setting_has_a_row_with_its_meaning() -> None:
    rows = [line.split(" | ") for line in settings.page().splitlines() if "<br>" in line]
    named = {row[0].partition("<br>")[2].rstrip("`").lstrip("`"): row for row in rows}
    expected = {
        f"WEEKAHEAD_{section}__{key}".upper()
        for section, field in Settings.model_fields.items()
        if hasattr(field.annotation, "model_fields")
        for key in field.annotation.model_fields  # type: ignore[union-attr]
    }
    assert named.keys() == expected
    for name, row in named.items():
        assert len(row[2].strip(" |")) > 10, name
    assert named["WEEKAHEAD_FORECAST__FOLDS"][1:] == [
        "`5`",
        "Walk-forward test windows. (≥ 2, ≤ 50) |",
    ]
    assert named["WEEKAHEAD_S3__SECRET_KEY"][1] == "secret"


def test_every_table_and_mart_has_a_section_with_its_columns() -> None:
    lake = tables.lake_page()
    for table in TABLES:
        section = lake.partition(f"## {table.name}\n")[2].partition("\n## ")[0]
        for column in table.schema.column_names:
            assert f"| `{column}` |" in section, (table.name, column)
    marts = tables.marts_page()
    for path in (ROOT / "dbt" / "models" / "marts").glob("*.sql"):
        assert f"\n## {path.stem}\n" in marts, path.stem


def test_every_error_has_a_cause_and_a_next_step() -> None:
    rows = {
        line.split(" | ")[0].strip("| `"): line.split(" | ")
        for line in errors.page().splitlines()
        if line.startswith("| `")
    }
    classes = dict(inspect.getmembers(tree, inspect.isclass))
    assert rows.keys() >= classes.keys() - {"WeekaheadError"}
    for name, (_, cause, following) in rows.items():
        assert cause.endswith("."), name
        assert name == "CatalogError" or following.strip(" |").endswith("."), name


def test_messages_are_shown_with_their_variable_parts_left_open() -> None:
    assert "\n- The lake has no table … yet: run 'weekahead ingest' first.\n" in errors.page()


def test_the_http_page_has_all_addresses_roles_options_and_codes() -> None:
    page = endpoints.page()
    for shown in ("`/ping`", "`/metrics`", "`reader`", "`--max-memory`", "| 497 |"):
        assert shown in page, shown
