"""``weekahead init`` and ``weekahead completion``: one-time setup."""

import os
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from flows.cli import options, show

SOURCES = ("sample", "moex", "yahoo")
TEMPLATE = """\
# Settings of weekahead in this folder; stronger are .env, the environment and the command line.
# Every setting has a default; its name in the environment is WEEKAHEAD_<SECTION>__<KEY>.

[ingest]
# sample: five US stocks, 2000 to 2013, offline; moex: Moscow Exchange ISS; yahoo: its chart API.
source = "{source}"
# What a run reads when it names no symbols{default}.
{symbols}
# First date of the first run; later runs read what is new.
start = {start}
# Calendar days read again for late corrections.
# lookback_days = 10

[moex]
# The board whose shares are read; additional sessions at weekends: "leave_out" or "own".
# board = "TQBR"
# weekend_sessions = "leave_out"

[yahoo]
# "curl_cffi" presents itself as a browser does; it needs: pip install "weekahead[live]"
# transport = "urllib3"

[http]
# Least seconds between two requests to one host, and tries per request.
# pause_seconds = 0.15
# attempts = 5

[forecast]
# A challenger replaces the champion when it is better by this share of the error ...
# gate_margin = 0.001
# ... with this confidence.
# gate_confidence = 0.95
"""
INSTALLED = {
    "bash": (".local/share/bash-completion/completions/weekahead", "Open a new shell to use it."),
    "zsh": (
        ".zfunc/_weekahead",
        "Put this into ~/.zshrc once: fpath+=~/.zfunc; autoload -Uz compinit && compinit",
    ),
    "fish": (".config/fish/completions/weekahead.fish", "Open a new shell to use it."),
}


@click.command()
@click.option(
    "--source", type=click.Choice(SOURCES), default="sample", show_default=True,
    help="Where quotes come from.",
)  # fmt: skip
@click.option("--symbols", type=options.SymbolsType(), help="Only these symbols; Yahoo needs some.")
@click.option(
    "--start", type=options.DateType(), default="2010-01-01", show_default=True,
    help="First trading date of the first run.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Replace a weekahead.toml that is there.")
def init(source: str, symbols: tuple[str, ...] | None, start: object, force: bool) -> None:
    r"""Write a commented weekahead.toml into this folder.

    \b
      weekahead init --source yahoo --symbols AAPL,MSFT
      weekahead init --source moex --symbols SBER,GAZP,LKOH --start 2015-01-01
      weekahead run
    """
    from lakehouse.errors import UsageError
    from lakehouse.settings import SETTINGS_FILE, load_settings

    if source == "yahoo" and not symbols:
        raise UsageError("Yahoo lists no symbols: name some, such as --symbols AAPL,MSFT.")
    if SETTINGS_FILE.exists() and not force:
        raise UsageError(f"{SETTINGS_FILE.absolute()} is there already; --force replaces it.")
    listed = ", ".join(f'"{symbol}"' for symbol in symbols or ())
    SETTINGS_FILE.write_text(
        TEMPLATE.format(
            source=source,
            symbols=f"symbols = [{listed}]" if symbols else '# symbols = ["AAPL", "MSFT"]',
            default="" if symbols else ": by default all that the source lists",
            # The sample ends in 2013.
            start="2000-01-01" if source == "sample" else start,
        ),
        encoding="utf-8",
    )
    load_settings()
    show.line(f"Wrote {SETTINGS_FILE.absolute()}.")
    show.line("Next: weekahead run")


@click.command()
@click.argument("shell", type=click.Choice(tuple(INSTALLED)), required=False)
@click.option("--print", "printed", is_flag=True, help="Print the script instead.")
@click.pass_context
def completion(context: click.Context, shell: str | None, printed: bool) -> None:
    r"""Complete commands and options in bash, zsh or fish: installs it for this account.

    The shell is taken from the variable SHELL if none is named.

    \b
      weekahead completion
      weekahead completion zsh --print
    """
    from lakehouse.errors import UsageError

    shell = shell or Path(os.environ.get("SHELL", "")).name
    kind = get_completion_class(shell) if shell in INSTALLED else None
    if kind is None:
        raise UsageError(f"There is no completion for {shell!r}: name bash, zsh or fish.")
    script = kind(context.find_root().command, {}, "weekahead", "_WEEKAHEAD_COMPLETE").source()
    if printed:
        show.line(script)
        return
    place, then = INSTALLED[shell]
    path = Path.home() / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(script, encoding="utf-8")
    show.line(f"Wrote {path}. {then}")


COMMANDS = (init, completion)
