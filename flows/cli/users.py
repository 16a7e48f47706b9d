"""``weekahead user``: accounts of single persons in the services of the local stack."""

import click

from flows.cli import options, show

ROLES = ("viewer", "analyst", "admin")
WHERE = "Superset, ClickHouse, MLflow and Airflow"


@click.group("user")
def user() -> None:
    r"""Give people accounts of their own in Superset, ClickHouse, MLflow and Airflow.

    \b
    viewer   reads dashboards, marts, models and runs of DAGs
    analyst  may also make dashboards, use SQL Lab and trigger DAGs
    admin    may do everything

    Prefect has a single login, that of the stack. If the stack is up, a change takes effect at
    once and restarts the warehouse; otherwise it takes effect with the next `weekahead up`.
    """


@user.command("add")
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), default="viewer", show_default=True)
def add(name: str, role: str) -> None:
    r"""Create an account; its password is shown once.

    \b
      weekahead user add anna --role analyst
    """
    from deploy.local import accounts
    from lakehouse.settings import load_settings

    password = accounts.add(load_settings(), name, role)
    show.line(f"{name} has the role {role} in {WHERE}.")
    show.line(f"password (shown only now): {password}")


@user.command("rotate")
@click.argument("name")
def rotate(name: str) -> None:
    """Give an account a new password; the old one stops working."""
    from deploy.local import accounts
    from lakehouse.settings import load_settings

    show.line(f"password (shown only now): {accounts.rotate(load_settings(), name)}")


@user.command("remove")
@click.argument("name")
def remove(name: str) -> None:
    """Remove an account; what the person made in Superset stays."""
    from deploy.local import accounts
    from lakehouse.settings import load_settings

    accounts.remove(load_settings(), name)
    show.line(f"The account {name} was removed.")


@user.command("list")
@options.as_json
def list_users(machine: bool) -> None:
    """List the accounts of persons."""
    from deploy.local.people import load_people
    from lakehouse.home import open_home
    from lakehouse.settings import load_settings

    people = load_people(open_home(load_settings().home)).values()
    if machine:
        show.as_json([{"name": p.name, "role": p.role, "since": p.since} for p in people])
        return
    show.table(
        "Accounts", ["name", "role", "since"], [(p.name, p.role, p.since) for p in people], left=3
    )


COMMANDS = (user,)
