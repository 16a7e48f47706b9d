"""The README is true: it names every command, and only commands that exist."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from flows.cli.main import cli

ROOT = Path(__file__).parents[2]


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
    assert cli.commands[command].help
    for option in cli.commands[command].params:
        if option.param_type_name == "option":
            assert option.help, option.name  # type: ignore[attr-defined]


def test_the_make_targets_of_the_readme_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for target in re.findall(r"\bmake ([a-z]+)", (ROOT / "README.md").read_text()):
        assert target in targets
