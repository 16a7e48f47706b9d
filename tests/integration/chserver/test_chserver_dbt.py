"""dbt-clickhouse on the embedded server: a small project, built twice, as the writer."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FILES = {
    "dbt_project.yml": """
name: tiny
version: "1.0"
profile: tiny
flags: {send_anonymous_usage_stats: false}
""",
    "profiles.yml": """
tiny:
  target: dev
  outputs:
    dev:
      type: clickhouse
      driver: http
      host: 127.0.0.1
      port: "{{ env_var('CH_PORT') | as_number }}"
      user: writer
      password: "{{ env_var('CH_PASSWORD') }}"
      schema: staging
      threads: 2
""",
    "macros/generate_schema_name.sql": """
{% macro generate_schema_name(custom, node) %}{{ custom or target.schema }}{% endmacro %}
""",
    "seeds/names.csv": "symbol,name\nA,Alpha\nB,Beta\n",
    "models/base.sql": """
{{ config(materialized='table', order_by='id', engine='MergeTree()') }}
select toUInt64(number) as id, number % 7 as v from numbers({{ var('rows', 1000) }})
""",
    "models/merged.sql": """
{{ config(materialized='incremental', incremental_strategy='delete+insert', unique_key='id',
          order_by='id', schema='marts') }}
select id, v + {{ var('add', 0) }} as v from {{ ref('base') }}
{% if is_incremental() %} where id >= 900 {% endif %}
""",
    "models/appended.sql": """
{{ config(materialized='incremental', incremental_strategy='append', order_by='id') }}
select id from {{ ref('base') }}
{% if is_incremental() %} where id > (select max(id) from {{ this }}) {% endif %}
""",
    "models/counted.sql": """
{{ config(materialized='view', schema='marts') }}
select count() as n, sum(v) as s from {{ ref('merged') }}
""",
    "models/schema.yml": """
models:
  - name: base
    columns: [{name: id, data_tests: [unique, not_null]}]
unit_tests:
  - name: counts
    model: counted
    given:
      - input: ref('merged')
        rows: [{id: 1, v: 2}, {id: 2, v: 3}]
    expect:
      rows: [{n: 2, s: 5}]
""",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("dbt")
    for name, content in FILES.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(content)
    return root


def dbt(server: Any, project: Path, *arguments: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("dbt")), *arguments, "--profiles-dir", "."],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=180,
        env={
            **os.environ,
            "CH_PORT": str(server.port),
            "CH_PASSWORD": server.passwords["writer"],
            "DO_NOT_TRACK": "1",
        },
    )
    assert done.returncode == 0, done.stdout
    results = json.loads((project / "target" / "run_results.json").read_text())["results"]
    return list(results)


def test_build_twice_and_document(server: Any, project: Path) -> None:
    first = dbt(server, project, "build")
    assert {result["status"] for result in first} == {"success", "pass"} and len(first) == 8
    assert server.ok("SELECT n, s FROM marts.counted", "reader") == "1000\t2997\n"
    second = dbt(server, project, "build", "--vars", "{rows: 1100, add: 10}")
    assert {result["status"] for result in second} == {"success", "pass"}
    expected = sum(n % 7 for n in range(900)) + sum(n % 7 + 10 for n in range(900, 1100))
    assert server.ok("SELECT n, s FROM marts.counted", "reader") == f"1100\t{expected}\n"
    assert server.ok("SELECT count(), uniqExact(id) FROM staging.appended") == "1100\t1100\n"
    dbt(server, project, "docs", "generate")
    catalog = json.loads((project / "target" / "catalog.json").read_text())
    assert set(catalog["nodes"]["model.tiny.merged"]["columns"]) == {"id", "v"}
    leftovers = "SELECT name FROM system.tables WHERE name LIKE '%dbt%'"
    assert server.ok(leftovers) == ""
