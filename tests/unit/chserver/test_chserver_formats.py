"""Blocks of a streamed result, joined into one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.chserver.formats import joiner


def _quoted(values: list[str]) -> bytes:
    return ",".join('"' + value.replace('"', '""') + '"' for value in values).encode() + b"\n"


@given(
    names=st.lists(st.text(st.characters(codec="utf-8"), min_size=1), min_size=1, max_size=4),
    blocks=st.lists(st.lists(st.text(st.characters(codec="utf-8"))), min_size=1, max_size=4),
)
def test_names_come_once_whatever_they_hold(names: list[str], blocks: list[list[str]]) -> None:
    join = joiner("CSVWithNames")
    assert join
    head = _quoted(names)
    rows = [b"".join(_quoted([value]) for value in block) for block in blocks]
    sent = b"".join(join(head + block, index == 0) for index, block in enumerate(rows))
    assert sent == head + b"".join(rows)


@pytest.mark.parametrize("name", ["JSON", "Parquet", "Arrow", "PrettyCompact"])
def test_formats_with_a_frame_cannot_be_joined(name: str) -> None:
    assert joiner(name) is None
