"""The lint of constructions finds them where people read, and nowhere else."""

from pathlib import Path

import pytest

from tools import phrases

LISTED = phrases.phrases()


def look(path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(phrases, "ROOT", path.parent)
    path.write_text(text)
    return list(phrases.found_in(path, LISTED))


def test_a_page_is_searched_outside_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "# Page\n\nThe marts are built\nanew.\n\n```\nbuilt anew\n```\n`built anew`\n"
    assert look(tmp_path / "page.md", text, monkeypatch) == [
        "page.md:3: 'built anew': write: rebuilt, again, refitted"
    ]


def test_a_module_is_searched_in_docstrings_and_comments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = '"""A run\n\nis at it."""\n\n# Nobody\n# else reads it.\nX = "is at it"\n'
    found = look(tmp_path / "module.py", text, monkeypatch)
    assert [line.partition(": ")[0] for line in found] == ["module.py:3", "module.py:5"]


def test_each_phrase_is_plain_words_with_an_alternative() -> None:
    for phrase in LISTED:
        assert phrase.say
        assert not phrase.find.search(phrase.say)
