"""The option ``--remote``: let a worker run the flow, and follow it."""

from collections.abc import Callable, Mapping
from datetime import date
from functools import wraps
from typing import Any

import click

from flows.cli import show

Command = Callable[..., Any]


def option(flow: str) -> Callable[[Command], Command]:
    """Add ``--remote`` to a command that has a deployment of the given name."""

    def decorate(command: Command) -> Command:
        @click.option(
            "--remote",
            is_flag=True,
            help="Let a Prefect worker run it and follow it here; Ctrl-C cancels it.",
        )
        @wraps(command)
        def wrapped(remote: bool, **options: Any) -> Any:
            return _follow(flow, options) if remote else command(**options)

        return wrapped

    return decorate


def _follow(flow: str, options: Mapping[str, Any]) -> int:
    from deploy.local import PREFECT, is_up, prefect, running
    from lakehouse.errors import UsageError
    from lakehouse.settings import load_settings

    settings = load_settings()
    if not is_up(settings) and not prefect.configured(settings):
        raise UsageError(
            "--remote needs a Prefect server with a worker: start the local stack with "
            "`weekahead up`, or set PREFECT_API_URL."
        )
    with running(settings, needs=frozenset({PREFECT})):
        from flows.remote import follow

        run = follow(flow, parameters(options))
    if options["machine"]:
        show.as_json(run.to_dict())
    else:
        if run.result:
            show.result(run.result, machine=False)
        show.line(f"{run.name}: {run.state}{f', {run.message}' if run.message else ''}")
        show.line(run.url)
    return run.exit_code


def parameters(options: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a command's options to parameters of the flow; unset ones are omitted."""
    found: dict[str, Any] = {}
    for name, value in options.items():
        if name == "machine" or value is None or value is False:
            continue
        if name == "as_of" and isinstance(value, tuple):
            found["as_of"], found["until"] = (day.isoformat() for day in value)
        elif isinstance(value, date):
            found[name] = value.isoformat()
        else:
            found[name] = list(value) if isinstance(value, tuple) else value
    return found
