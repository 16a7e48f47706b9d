"""Adding, listing and removing the accounts of persons, in every service that knows users.

Prefect knows one login only, which is the stack's.
"""

import hashlib
import json
import secrets
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from deploy.chserver.auth import hash_password
from deploy.local import airflow, mlflow
from deploy.local.lifecycle import up
from deploy.local.people import ROLES, Person, check_name, load_people, save_people
from deploy.local.status import is_up
from lakehouse.errors import UsageError
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
    if role not in ROLES:
        raise UsageError(f"There is no role {role!r}; choose from {', '.join(ROLES)}.")
    home = open_home(settings.home)
    password = secrets.token_urlsafe(18)

    def change(people: dict[str, Person]) -> None:
        if name in people:
            raise UsageError(
                f"{name!r} has an account already: `weekahead user rotate {name}` gives it a new "
                "password."
            )
        people[name] = _person(name, role, password)

    _change(home, change)
    _in_airflow(home, name, password)
    _in_mlflow(settings, home, name, password, admin=ROLES[role].mlflow_admin)
    _apply(settings)
    return password


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
    home = open_home(settings.home)
    password = secrets.token_urlsafe(18)
    role = ""

    def change(people: dict[str, Person]) -> None:
        nonlocal role
        role = _known(people, name).role
        people[name] = _person(name, role, password)

    _change(home, change)
    _in_airflow(home, name, password)
    _in_mlflow(settings, home, name, password, admin=ROLES[role].mlflow_admin)
    _apply(settings)
    return password


def remove(settings: Settings, name: str) -> None:
    """Take a person's account away; what the person made in Superset stays.

    Args:
        settings: The home, and which services are external.
        name: User name.

    Raises:
        UsageError: There is no such account.
        ServiceError: A running service does not take the change.
    """
    home = open_home(settings.home)

    def change(people: dict[str, Person]) -> None:
        del people[_known(people, name).name]

    _change(home, change)
    _in_airflow(home, name, None)
    _in_mlflow(settings, home, name, None, admin=False)
    _apply(settings)


def _known(people: dict[str, Person], name: str) -> Person:
    if name not in people:
        names = ", ".join(people) or "nobody yet"
        raise UsageError(f"There is no account {name!r}; accounts have: {names}.")
    return people[name]


def _person(name: str, role: str, password: str) -> Person:
    from werkzeug.security import generate_password_hash

    return Person(
        name=name,
        role=role,
        since=datetime.now(UTC).date().isoformat(),
        scrypt=hash_password(password),
        sha256=hashlib.sha256(password.encode()).hexdigest(),
        werkzeug=generate_password_hash(password),
    )


def _change(home: Home, change: Callable[[dict[str, Person]], None]) -> None:
    with exclusive(home.run / "people.lock"):
        people = load_people(home)
        change(people)
        save_people(home, people)


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


def _apply(settings: Settings) -> None:
    """Let the services that are up start again where they read accounts only then."""
    if is_up(settings):
        up(settings)
