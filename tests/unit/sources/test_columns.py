"""Typed columns from JSON values; nothing is guessed, nothing gets lost."""

import json
from datetime import date
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.sources.columns import typed_table

SCHEMA = pa.schema(
    [
        ("name", pa.string()),
        ("day", pa.date32()),
        ("price", pa.float64()),
        ("volume", pa.int64()),
        ("malformed", pa.string()),
    ]
)
ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.lists(st.integers(), max_size=2),
)


def one(**values: Any) -> dict[str, Any]:
    table = typed_table({name: [value] for name, value in values.items()}, SCHEMA, rows=1)
    row: dict[str, Any] = table.to_pylist()[0]
    return row


@pytest.mark.parametrize(
    ("column", "value"),
    [("price", "1.5"), ("price", True), ("volume", 1.5), ("volume", 2**70), ("volume", "many"),
     ("day", "2024-02-30"), ("day", 20240101.5), ("name", 5), ("price", [1])],
)  # fmt: skip
def test_a_misfit_becomes_null_and_is_kept(column: str, value: Any) -> None:
    row = one(**{"name": "A", column: value})
    assert row[column] is None
    assert json.loads(row["malformed"])["_malformed"] == [column]
    assert json.loads(row["malformed"])[column] == value


def test_what_fits_is_typed() -> None:
    row = one(name="A", day="2024-02-29", price=3, volume=7.0)
    assert row == {
        "name": "A",
        "day": date(2024, 2, 29),
        "price": 3.0,
        "volume": 7,
        "malformed": None,
    }


@given(st.lists(st.tuples(ANYTHING, ANYTHING, ANYTHING, ANYTHING), max_size=8))
def test_anything_at_all_gives_a_table(rows: list[tuple[Any, ...]]) -> None:
    names = ("name", "day", "price", "volume")
    columns = {name: [row[at] for row in rows] for at, name in enumerate(names)}
    table = typed_table(columns, SCHEMA, rows=len(rows))
    assert table.schema == SCHEMA
    for row, sent in zip(table.to_pylist(), rows, strict=True):
        wrong = json.loads(row["malformed"])["_malformed"] if row["malformed"] else []
        for name, value in zip(names, sent, strict=True):
            assert (row[name] is None) == (value is None or name in wrong)
