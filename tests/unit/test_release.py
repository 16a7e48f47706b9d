"""One version everywhere, and a changelog that knows it."""

import re

from tools.release import DISTRIBUTIONS, ROOT, stated_versions


def test_every_place_states_the_same_version() -> None:
    versions = stated_versions()
    assert len(set(versions.values())) == 1, versions


def test_the_changelog_has_each_version_once_newest_first() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    found = re.findall(r"^## \[(\d+)\.(\d+)\.(\d+)\] - (\d{4}-\d\d-\d\d)$", text, re.MULTILINE)
    keys = [(*map(int, parts), day) for *parts, day in found]
    assert len(keys) >= 2
    assert keys == sorted(set(keys), reverse=True)
    assert len(found) == len(re.findall(r"^## \[\d", text, re.MULTILINE))


def test_every_distribution_comes_with_the_license() -> None:
    text = (ROOT / "LICENSE").read_text()
    for each in DISTRIBUTIONS:
        assert (ROOT / each.folder / "LICENSE").read_text() == text, each.folder
