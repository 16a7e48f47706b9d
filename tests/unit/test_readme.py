"""README and pages are true: commands, options, targets and links exist, examples are run."""

import ast
import json
import re
import shlex
import subprocess
import tomllib

import click
import pytest
import yaml
from click.testing import CliRunner

from flows.cli.main import cli
from tests.documented import ROOT, Block, blocks, pages, to_run

# Pages whose blocks tests/integration runs: test_documented.py, and test_ways.py for the tutorial.
RUN = (
    *("README.md", "docs/ingest.md", "docs/own-symbols.md", "docs/quote.md"),
    "docs/tutorial.md",
)
# The same commands as in English, which are run.
TRANSLATED = {"README.ru.md": "README.md", "docs/ru/tutorial.md": "docs/tutorial.md"}


@pytest.mark.parametrize("name", ["README.md", "README.ru.md"])
def test_every_command_is_documented_and_exists(name: str) -> None:
    text = (ROOT / name).read_text()
    for command in cli.commands:
        assert re.search(rf"`{command}`|weekahead {command}\b", text), command
    for command in set(re.findall(r"^weekahead ([a-z]+)", text, re.MULTILINE)):
        assert command in cli.commands


@pytest.mark.parametrize("name", ["README.md", "README.ru.md", "CONTRIBUTING.md"])
def test_links_point_to_files(name: str) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", (ROOT / name).read_text()):
        assert (ROOT / target).exists(), target


@pytest.mark.parametrize("command", sorted(cli.commands))
def test_help_describes_every_command_and_option(command: str) -> None:
    shown = CliRunner().invoke(cli, [command, "--help"])
    assert shown.exit_code == 0
    assert "\\b" not in shown.output, "the lines of its examples run together"
    assert cli.commands[command].help
    for option in cli.commands[command].params:
        if option.param_type_name == "option":
            assert option.help, option.name  # type: ignore[attr-defined]


TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("page", pages())
def test_targets_of_make_exist(page: str) -> None:
    for target in re.findall(r"(?:`|^)make ([a-z-]+)", (ROOT / page).read_text(), re.MULTILINE):
        assert target in TARGETS, target


@pytest.mark.parametrize("page", pages())
def test_commands_in_blocks_can_be_called_like_that(page: str) -> None:
    """Also where no test runs them: command, subcommand and options exist."""
    for block in blocks(page):
        if block.kind in ("", "bash"):
            for command in block.commands:
                if found := re.match(r"(?:.* )?weekahead (?!=)(.*)", command):
                    check(found[1], f"{page}:{block.line}: {command}")


def check(arguments: str, where: str) -> None:
    words = shlex.split(re.split(r" [>|] | && ", arguments)[0])
    group: click.Command = cli
    while isinstance(group, click.Group) and words:
        assert words[0] in group.commands, where
        group = group.commands[words.pop(0)]
    context = click.Context(group)
    try:
        group.make_parser(context).parse_args(words)
    except click.UsageError as error:
        pytest.fail(f"{where}: {error}")


@pytest.mark.parametrize("page", pages())
def test_bash_blocks_are_bash(page: str) -> None:
    for block in blocks(page):
        if block.kind == "bash":
            read = subprocess.run(["bash", "-n"], input=block.text, text=True, capture_output=True)
            assert read.returncode == 0, f"{page}:{block.line}\n{read.stderr}"


PARSERS = {"json": json.loads, "python": ast.parse, "toml": tomllib.loads, "yaml": yaml.safe_load}


@pytest.mark.parametrize("page", pages())
def test_other_blocks_are_what_they_say(page: str) -> None:
    for block in blocks(page):
        assert block.kind in (*PARSERS, "bash", "sql", "text", ""), f"{page}:{block.line}"
        if block.kind in PARSERS:
            PARSERS[block.kind](block.text)


def test_every_bash_block_is_run_or_says_why_not() -> None:
    for page in pages():
        if page not in (*RUN, *TRANSLATED):
            assert not to_run(page), page
    for page in RUN:
        assert to_run(page), page


@pytest.mark.parametrize("page", TRANSLATED)
def test_a_translation_has_the_same_commands(page: str) -> None:
    def commands(found: list[Block]) -> list[list[str]]:
        return [block.commands for block in found if block.kind == "bash"]

    assert commands(blocks(page)) == commands(blocks(TRANSLATED[page]))


@pytest.mark.parametrize("page", TRANSLATED)
def test_a_translation_shows_the_same_output(page: str) -> None:
    def shown(name: str) -> list[str]:
        return [block.text for block in blocks(name) if block.kind == "text"]

    assert shown(page) == shown(TRANSLATED[page])


@pytest.mark.parametrize("name", ["README.md", "README.ru.md"])
def test_the_readme_is_short(name: str) -> None:
    assert len((ROOT / name).read_text().splitlines()) < 150
