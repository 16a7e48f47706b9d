"""A small random market in the lake."""

from collections.abc import Callable

import pytest

from lakehouse.platform import Platform
from tests.integration.warehouse.market import Market


@pytest.fixture(scope="module")
def market(stack: Platform) -> Callable[[str, int], Market]:
    """Makes a market by name and seed."""
    return lambda name, seed: Market(stack, name, seed)
