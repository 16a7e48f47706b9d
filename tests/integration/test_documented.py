"""What README and pages show is what happens: their commands, run on what a run has left."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local import running
from tests.documented import blocks, run, to_run
from tests.homes import call, copied, settings_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, run_home: Path) -> Iterator[Path]:
    """A folder in which ``make run`` has been called, with its services up."""
    folder = tmp_path_factory.mktemp("checkout")
    (folder / ".venv").symlink_to(Path(sys.prefix))
    with running(settings_of(copied(run_home, folder / ".weekahead"))):
        yield folder


def test_the_output_of_make_run_is_what_a_run_forecasts(folder: Path) -> None:
    (shown,) = (each.text for each in blocks("README.md") if "Forecast closes" in each.text)
    query = (
        "select symbol, strftime(as_of_date, '%Y-%m-%d'), last_close, "
        "list(point order by horizon) from ml.forecasts group by all order by symbol"
    )
    answer = call(folder / ".weekahead", "sql", query, "--format", "csv").stdout
    for line in answer.splitlines()[1:]:
        symbol, day, *numbers = re.findall(r"[\w.-]+", line)
        row = re.search(rf"^  {symbol} +(.+)$", shown, re.MULTILINE)
        assert row, symbol
        assert row[1].split()[:7] == [day, *(f"{float(number):.2f}" for number in numbers)]
    assert "25 of 25 forecasts are new in the ledger." in shown


@pytest.mark.parametrize("page", ["README.md", "docs/ingest.md", "docs/quote.md"])
def test_the_commands_of_a_page_run(folder: Path, page: str) -> None:
    shown = "".join(run(block, folder) for block in to_run(page))
    expected = {"docs/ingest.md": "raw.quotes"}
    assert expected.get(page, "2013-03-01") in shown
    if page == "README.md":
        assert (folder / "weekahead-report.html").exists()


def test_settings_of_ones_own_are_written(tmp_path: Path) -> None:
    for block in to_run("docs/own-symbols.md"):
        run(block, tmp_path)
    assert '"^GSPC"' in (tmp_path / "weekahead.toml").read_text()
