"""The pages of all tables: the lake's from the Iceberg schemas, the marts from dbt's contracts."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from catalog.tables import TABLES, TableDefinition
from tools.reference.markdown import code, table

MODELS = Path(__file__).resolve().parents[2] / "dbt" / "models"
LAKE_HEAD = """# Tables of the lake

Iceberg tables in the namespaces `raw` (what sources say) and `ml` (what models say). `weekahead
sql` reads them with DuckDB, and any Iceberg client can ([Other clients](../clients.md)). A merge
replaces rows by key; tables without a key are append-only.
"""
MARTS_HEAD = """# Marts

Tables that dbt builds in ClickHouse, in the database `marts`; types are ClickHouse's, and dbt
enforces them (contracts). `weekahead sql --engine clickhouse` reads them as the account `reader`.
`weekahead docs` also shows the models beneath, with their lineage.
"""


def lake_page() -> str:
    """The lake's tables as Markdown."""
    described = {
        source["identifier"]: source["description"]
        for group in _read(MODELS / "staging" / "_lake.yml")["sources"]
        for source in group["tables"]
    }
    parts = [LAKE_HEAD]
    for each in TABLES:
        parts.append(f"## {each.name}\n")
        parts.append(described.get(each.name, "") + "\n")
        facts = [f"Key: {', '.join(map(code, each.key))}." if each.key else "No key: append-only."]
        if each.partition.fields:
            facts.append(
                f"Partitioned by {', '.join(code(f.name) for f in each.partition.fields)}."
            )
        parts.append(" ".join(facts) + "\n")
        parts.append(table(("column", "type", "required", "meaning"), _fields(each)) + "\n")
    return "\n".join(parts)


def _fields(each: TableDefinition) -> Iterator[tuple[str, str, str, str]]:
    staged = MODELS / "staging" / f"stg_{each.name.partition('.')[2]}.yml"
    columns = {}
    if staged.exists():
        (model,) = _read(staged)["models"]
        columns = {column["name"]: column.get("description", "") for column in model["columns"]}
    for field in each.schema.fields:
        required = "yes" if field.required else ""
        yield code(field.name), str(field.field_type), required, columns.get(field.name, "")


def marts_page() -> str:
    """The marts as Markdown."""
    parts = [MARTS_HEAD]
    for path in sorted((MODELS / "marts").glob("*.yml")):
        for model in _read(path).get("models", ()) if not path.name.startswith("_") else ():
            rows = (
                (code(column["name"]), code(column["data_type"]), column.get("description", ""))
                for column in model["columns"]
            )
            parts += [f"## {model['name']}\n", model["description"].strip() + "\n"]
            parts.append(table(("column", "type", "meaning"), rows) + "\n")
    return "\n".join(parts)


def _read(path: Path) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(path.read_text())
    return read
