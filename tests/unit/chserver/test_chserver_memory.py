"""How a lack of memory is reported, and how the engine's memory is shared."""

import pytest

from deploy.chserver.engine_config import EngineLimits
from deploy.chserver.errors import ClickHouseError, with_advice

SETTING = "WEEKAHEAD_SERVICES__MEMORY_GB=4.00"
OF_USER = (
    "User memory limit exceeded: would use 1.80 GiB (attempt to allocate chunk of 4.06 MiB), "
    "maximum: 1.20 GiB: While executing MergeSortingTransform"
)


def test_a_lack_of_memory_names_the_setting_and_what_would_be_enough() -> None:
    told = with_advice(ClickHouseError(241, OF_USER, "MEMORY_LIMIT_EXCEEDED"), SETTING)
    # Half as much again as there is, and a quarter in reserve.
    assert told.text.endswith(
        "The limit follows WEEKAHEAD_SERVICES__MEMORY_GB, now 4.00; 7.5 should be enough"
    )
    assert (told.code, told.name) == (241, "MEMORY_LIMIT_EXCEEDED")


def test_a_readers_own_limit_is_no_matter_of_the_machine() -> None:
    text = OF_USER.replace("User", "Query")
    told = with_advice(ClickHouseError(241, text, "MEMORY_LIMIT_EXCEEDED"), SETTING)
    assert "fewer symbols" in told.text and "SERVICES" not in told.text


@pytest.mark.parametrize(
    ("code", "text", "setting"),
    [(60, OF_USER, SETTING), (241, "no numbers here", SETTING), (241, OF_USER, "")],
)
def test_everything_else_stays_as_it_is(code: int, text: str, setting: str) -> None:
    error = ClickHouseError(code, text, "ANY")
    assert with_advice(error, setting) is error


def test_two_large_statements_and_the_caches_fit() -> None:
    limits = EngineLimits(max_memory=1200)
    kinds = ("sort", "join", "group_by")
    spilling = sum(int(limits.spilling[f"max_bytes_before_external_{kind}"]) for kind in kinds)
    assert 2 * spilling + sum(limits.caches.values()) < limits.max_memory * 9 // 10
