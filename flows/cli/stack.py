"""The local stack: up, down, status, doctor."""

from typing import TYPE_CHECKING

import click

from flows.cli import options, show

if TYPE_CHECKING:
    from deploy.local.status import Status


@click.command()
@click.option("--with", "parts", metavar="A,B", help="Optional parts: superset, airflow.")
@options.as_json
def up(parts: str | None, machine: bool) -> None:
    r"""Start everything in the background: lake, warehouse, MLflow, Prefect server and worker.

    Repeating it starts only what is missing; crashed services restart automatically. Other
    commands use these services while they are up. Ports stay the same from one start to the next.

    \b
      weekahead up
      weekahead up --with superset,airflow
      weekahead down
    """
    from deploy import local
    from lakehouse.settings import load_settings

    wanted = [part.strip() for part in (parts or "").split(",") if part.strip()]
    settings = load_settings()
    local.up(settings, wanted)
    _show(local.status(settings), machine=machine)


@click.command()
def down() -> None:
    """Stop everything that runs for this home; data and ports are kept.

    That is what `weekahead up` has started, and whatever a killed command has left behind.
    """
    from deploy import local
    from lakehouse.settings import load_settings

    stopped = local.down(load_settings())
    show.line("The local stack is down." if stopped else "The local stack was not up.")


@click.command()
@options.as_json
def status(machine: bool) -> int:
    """Show the services of the local stack: state, address, login, ports, memory.

    The exit code is 0 when all are ready, 1 when one is not or the stack is down.
    """
    from deploy import local
    from lakehouse.settings import load_settings

    settings = load_settings()
    found = local.status(settings)
    _show(found, machine=machine)
    if not local.is_up(settings):
        if not machine:
            show.line("The local stack is down; `weekahead up` starts it.")
            if settings.elsewhere:
                listed = ", ".join(settings.elsewhere)
                show.line(f"Elsewhere: {listed}; `weekahead doctor` checks them.")
        return 1
    return 0 if all(service.state == "ready" for service in found) else 1


@click.command()
@options.as_json
def doctor(machine: bool) -> int:
    """Look for what is wrong or soon will be, and say what to do about it.

    Versions, disk, private files and passwords, services, ports, the catalog and its tables, how
    fresh the quotes are, the last runs. The exit code is 1 when there is a problem.
    """
    from flows.doctor import examine
    from lakehouse.settings import load_settings

    findings = examine(load_settings())
    if machine:
        show.as_json([finding.to_dict() for finding in findings])
    else:
        show.table(
            None,
            ["", "about", "found", "what to do"],
            [(found.level, found.area, found.what, found.todo) for found in findings],
            left=4,
        )
    return int(any(finding.level == "problem" for finding in findings))


def _show(found: "list[Status]", *, machine: bool) -> None:
    if machine:
        show.as_json([service.to_dict() for service in found])
        return
    if not found:
        return
    show.table(
        None,
        ["service", "state", "address", "port", "MiB", "login: user, file: name"],
        [
            (
                service.name,
                service.state,
                service.page,
                next(iter(service.ports.values()), ""),
                service.memory_mb,
                service.login,
            )
            for service in found
        ],
        left=3,
    )


COMMANDS = (up, down, status, doctor)
