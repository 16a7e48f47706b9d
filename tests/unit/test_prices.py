"""Prices as text."""

import pytest

from lakehouse.prices import price


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0004, "0.0004"),
        (0.00041234567, "0.00041235"),
        (1.1356899, "1.1357"),
        (4.45, "4.45"),
        (61.2, "61.20"),
        (27.7884, "27.79"),
        (109.29, "109.29"),
        (5476.669921875, "5476.67"),
        (0.0, "0.00"),
        (float("nan"), ""),
        (None, ""),
    ],
)
def test_a_price_keeps_what_tells_it_from_others(value: float | None, text: str) -> None:
    assert price(value) == text
