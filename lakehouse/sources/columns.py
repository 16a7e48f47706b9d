"""Converts decoded JSON to typed Arrow columns, and keeps misfits for the quality gate."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import date
from typing import Any

import pyarrow as pa

Values = Sequence[Any]
MALFORMED = "malformed"


def typed_table(columns: Mapping[str, Values], schema: pa.Schema, *, rows: int) -> pa.Table:
    """Build a table of a schema whose last column is ``malformed``.

    A value of the wrong type becomes null, and the original row goes into ``malformed`` as JSON,
    with the names of its wrong columns under ``"_malformed"``.

    Args:
        columns: Values by column name, each of length ``rows``; missing columns become null.
        schema: Column types; strings, dates, doubles and longs.
        rows: Number of rows.

    Returns:
        A table with that many rows.
    """
    wrong: dict[int, list[str]] = {}
    arrays = []
    for field in schema:
        if field.name == MALFORMED:
            continue
        array, misfits = _typed(columns.get(field.name, [None] * rows), field.type)
        arrays.append(array)
        for row in misfits:
            wrong.setdefault(row, []).append(field.name)
    malformed = [
        _payload({name: values[row] for name, values in columns.items()}, wrong[row])
        if row in wrong
        else None
        for row in (range(rows) if wrong else ())
    ]
    remarks = pa.array(malformed, pa.string()) if wrong else pa.nulls(rows, pa.string())
    return pa.Table.from_arrays([*arrays, remarks], schema=schema)


def _payload(values: Mapping[str, Any], wrong: list[str]) -> str:
    return json.dumps({**values, "_malformed": wrong}, ensure_ascii=False, default=str)


def _typed(values: Values, kind: pa.DataType) -> tuple[pa.Array, list[int]]:
    """The values as an array, and the rows whose value did not fit."""
    try:
        return _all_typed(values, kind), []
    except (pa.ArrowException, ValueError, TypeError, OverflowError):
        pass
    kept: list[Any] = []
    misfits = []
    for row, value in enumerate(values):
        try:
            kept.append(_all_typed([value], kind)[0].as_py())
        except (pa.ArrowException, ValueError, TypeError, OverflowError):
            kept.append(None)
            misfits.append(row)
    return pa.array(kept, kind), misfits


def _all_typed(values: Values, kind: pa.DataType) -> pa.Array:
    if pa.types.is_date(kind):
        with suppress(pa.ArrowException):
            return pa.array(values, pa.string()).cast(kind)
        return pa.array([None if value is None else _date(value) for value in values], kind)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        if bool in set(map(type, values)):
            raise TypeError("a truth value is not a number")
        # Go through doubles, because Arrow truncates 1.5 to 1 when it builds integers directly.
        return pa.array(values, pa.float64()).cast(kind)
    return pa.array(values, kind)


def _date(value: Any) -> date:
    if isinstance(value, date):
        return value
    if not isinstance(value, str):
        raise TypeError("a number is not a date")
    return date.fromisoformat(value[:10])
