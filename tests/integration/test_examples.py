"""The examples do what they say, on the addresses that ``weekahead env`` prints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from flows.cli.addresses import reader_variables
from lakehouse.platform import Platform
from lakehouse.settings import Settings
from tests.homes import call

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(code: str, settings: Settings) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env=os.environ | reader_variables(settings) | {"MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_clients_read_the_lake(pipeline: Platform) -> None:
    read = run((EXAMPLES / "lake.py").read_text(), pipeline.settings).splitlines()
    rows = dict(line.split(" ", 1) for line in read)
    assert rows["pandas"] == "3270"
    assert {rows[name] for name in ("pyiceberg", "polars", "duckdb")} == {"12154"}


def test_the_account_of_the_examples_changes_nothing(pipeline: Platform) -> None:
    code = "\n".join(
        [
            "from pyiceberg.catalog import load_catalog",
            "table = load_catalog('weekahead').load_table('raw.quotes')",
            "try:",
            "    table.append(table.scan(limit=1).to_arrow())",
            "except Exception as error:",
            "    print('refused', type(error).__name__)",
        ]
    )
    assert run(code, pipeline.settings).startswith("refused ")


def test_the_notebook_draws_a_forecast(pipeline: Platform) -> None:
    notebook = json.loads((EXAMPLES / "forecast.ipynb").read_text())
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    check = """
drawn = figure.axes[0]
assert len(forecast) == 5 and list(forecast["horizon"]) == [1, 2, 3, 4, 5]
assert (forecast["lower_95"] < forecast["lower_80"]).all()
assert len(drawn.collections) == 3 and len(drawn.lines) == 2
print("drawn")
"""
    said = run("\n".join([*cells, check]), pipeline.settings)
    assert "3270 bars, the last of 2013-03-01" in said and said.endswith("drawn\n")


def test_addresses_of_services_that_are_down_are_not_printed(tmp_path: Path) -> None:
    refused = call(tmp_path / "home", "env", code=2)
    assert "weekahead up" in refused.stderr and refused.stdout == ""
