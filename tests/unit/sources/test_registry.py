"""Sources are found by their folder."""

import pytest

from lakehouse.errors import UsageError
from lakehouse.settings import Settings
from lakehouse.sources import SOURCES, find_source


def test_a_folder_is_a_source() -> None:
    assert SOURCES == ("moex", "sample", "yahoo")


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_opens_under_its_name(name: str) -> None:
    with find_source(name)(Settings(_env_file=None)) as reader:  # type: ignore[call-arg]
        assert reader.name == name
        assert reader.requests == 0


def test_another_name_is_refused() -> None:
    with pytest.raises(UsageError, match="Choose one of: moex, sample, yahoo"):
        find_source("stooq")
