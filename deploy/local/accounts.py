"""Adding, listing and removing the accounts of persons, in every service that knows users.

Prefect knows one login only, which is the stack's.
"""

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from deploy.local import airflow, mlflow
from deploy.local.lifecycle import up
from deploy.local.people import (
    ROLES,
    Person,
    check_name,
    give,
    known,
    load_people,
    save_people,
)
from deploy.local.status import is_up
from lakehouse.home import Home, open_home, read_json, write_private
from lakehouse.locks import exclusive
from lakehouse.settings import Settings

if TYPE_CHECKING:
    from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore


def add(settings: Settings, name: str, role: str) -> str:
    """Give a person an account.

    Args:
        settings: The home, and which services are external.
        name: User name in every service.
        role: viewer, analyst or admin.

    Returns:
        The generated password, which is kept as hashes only.

    Raises:
        UsageError: The name cannot be used, or is in use.
        ServiceError: A running service does not take the change.
    """
    check_name(name, settings.superset.admin_user)
    return _give(settings, name, role)


def rotate(settings: Settings, name: str) -> str:
    """Give a person a new password.

    Args:
        settings: The home, and which services are external.
        name: User name.

    Returns:
        The generated password.

    Raises:
        UsageError: There is no such account.
        ServiceError: A running service does not take the change.
    """
    return _give(settings, name)


def remove(settings: Settings, name: str) -> None:
    """Take a person's account away; what the person made in Superset stays.

    Args:
        settings: The home, and which services are external.
        name: User name.

    Raises:
        UsageError: There is no such account.
        ServiceError: A running service does not take the change.
    """
    with _changing(settings) as (home, people):
        del people[known(people, name).name]
        _in_airflow(home, name, None)
        _in_mlflow(settings, home, name, None, admin=False)


def _give(settings: Settings, name: str, role: str | None = None) -> str:
    """Generate a password for an account, new or not, in every service; the password."""
    with _changing(settings) as (home, people):
        password = give(people, name, role)
        _in_airflow(home, name, password)
        admin = ROLES[people[name].role].mlflow_admin
        _in_mlflow(settings, home, name, password, admin=admin)
    return password


@contextmanager
def _changing(settings: Settings) -> Iterator[tuple[Home, dict[str, Person]]]:
    """Lend the accounts to one command at a time; then save them, and let services read them."""
    home = open_home(settings.home)
    with exclusive(home.run / "people.lock"):
        people = load_people(home)
        yield home, people
        save_people(home, people)
    # Some services read accounts only when they start.
    if is_up(settings):
        up(settings)


def _in_airflow(home: Home, name: str, password: str | None) -> None:
    data = home.data(airflow.NAME)
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    known: dict[str, str] = read_json(data / airflow.PASSWORDS, default={})
    known.pop(name, None)
    if password:
        known[name] = password
    write_private(data / airflow.PASSWORDS, json.dumps(known))


def _in_mlflow(
    settings: Settings, home: Home, name: str, password: str | None, *, admin: bool
) -> None:
    """MLflow's accounts are in a database, which its server reads at each request."""
    if settings.mlflow.tracking_uri:
        return
    store = _store(home)
    if password is None:
        if store.has_user(name):
            store.delete_user(name)
    elif store.has_user(name):
        store.update_user(name, password=password, is_admin=admin)
    else:
        store.create_user(name, password, is_admin=admin)


def _store(home: Home) -> "SqlAlchemyStore":
    with warnings.catch_warnings():
        # MLflow's own, about what it imports.
        warnings.simplefilter("ignore")
        from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore

    path = mlflow.accounts_file(home)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    store = SqlAlchemyStore()
    store.init_db(f"sqlite:///{path}")  # type: ignore[no-untyped-call]
    path.chmod(0o600)
    return store
