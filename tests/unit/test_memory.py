"""Shares of memory: from the machine, from a control group, from the settings."""

import itertools
from pathlib import Path

import psutil
import pytest

from lakehouse.memory import ENOUGH, GIB, machine_memory, models_at_once, shares
from lakehouse.settings import Settings


def of(**sections: object) -> Settings:
    return Settings(_env_file=None, **sections)  # type: ignore[call-arg, arg-type]


def test_the_setting_is_shared_without_remainder_beyond_it() -> None:
    found = shares(of(services={"memory_gb": 4}))
    assert found.total == 4 * GIB
    parts = found.engine + found.training + found.store
    assert found.total - GIB - 3 <= parts <= found.total - GIB


def test_more_memory_never_means_less_for_a_part() -> None:
    sizes = [shares(of(services={"memory_gb": size})) for size in (1, 1.5, 2, 3, 6, 24)]
    for small, large in itertools.pairwise(sizes):
        assert small.engine <= large.engine
        assert small.training <= large.training
        assert small.store <= large.store


def test_the_engine_can_be_given_another_share() -> None:
    whole = shares(of(services={"memory_gb": 4}))
    found = shares(of(services={"memory_gb": 4}, clickhouse={"max_memory_gb": 2.5}))
    assert found.engine == int(2.5 * GIB) != whole.engine
    assert found.training == whole.training


def test_by_default_a_large_machine_is_not_used_up() -> None:
    total = shares(of()).total
    assert total == min(int(0.75 * machine_memory()), ENOUGH)


def test_large_models_are_built_one_at_a_time_where_two_might_not_fit() -> None:
    small, exchange = 2_000_000, 12_500_000
    eight = {"memory_gb": 5.6}
    assert models_at_once(of(services=eight), small) == 2
    assert models_at_once(of(services=eight), exchange) == 1
    assert models_at_once(of(services={"memory_gb": 24}), exchange) == 2
    assert models_at_once(of(services=eight, clickhouse={"threads": 3}), exchange) == 3


@pytest.mark.parametrize(
    ("line", "file"),
    [
        ("0::/user/job", "user/memory.max"),
        ("0::/user/job", "user/job/memory.max"),
        ("4:memory:/user/job", "memory/user/job/memory.limit_in_bytes"),
        # In a container the name leads nowhere, and the root is the group.
        ("4:cpu,memory:/docker/0123", "memory/memory.limit_in_bytes"),
        ("0::/../other", "memory.max"),
    ],
)
def test_a_control_group_is_a_smaller_machine(tmp_path: Path, line: str, file: str) -> None:
    own = tmp_path / "own"
    own.write_text(f"1:name=systemd:/\n{line}\n")
    limit = tmp_path / "groups" / file
    limit.parent.mkdir(parents=True)
    limit.write_text(f"{GIB}\n")
    assert machine_memory(tmp_path / "groups", own) == GIB


@pytest.mark.parametrize("text", ["max\n", "9223372036854771712\n"])
def test_a_group_without_a_limit_is_the_machine(tmp_path: Path, text: str) -> None:
    own = tmp_path / "own"
    own.write_text("0::/\n")
    (tmp_path / "memory.max").write_text(text)
    assert machine_memory(tmp_path, own) == psutil.virtual_memory().total
    assert machine_memory(tmp_path, tmp_path / "missing") == psutil.virtual_memory().total
