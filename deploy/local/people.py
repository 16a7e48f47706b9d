"""Accounts of single persons, as every service of the stack reads them when it starts.

``config/people.json`` holds hashes only. Airflow's simple manager knows nothing but passwords in
clear text, and keeps them in a private file of its own.
"""

import hashlib
import json
import re
import secrets
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Final

from deploy.chserver.auth import hash_password
from lakehouse.errors import UsageError
from lakehouse.home import Home, read_json, write_private

FILE: Final = "people.json"
NAME: Final = re.compile(r"[a-z][a-z0-9_-]{1,31}")
# What services call accounts of their own.
RESERVED: Final = frozenset({"admin", "writer", "reader", "default", "weekahead", "public", "root"})


@dataclass(frozen=True)
class Role:
    """What a role of ours is in each service.

    Attributes:
        clickhouse: Role of the warehouse.
        superset: Superset's roles; READS is the one that reads the marts.
        airflow: Role of Airflow's simple manager.
        mlflow_admin: Whether MLflow's administrator; others read.
    """

    clickhouse: str
    superset: tuple[str, ...]
    airflow: str
    mlflow_admin: bool


READS: Final = "weekahead reader"
ROLES: Final = {
    "viewer": Role("reader", ("Gamma", READS), "viewer", mlflow_admin=False),
    "analyst": Role("reader", ("Alpha", "sql_lab", READS), "user", mlflow_admin=False),
    "admin": Role("admin", ("Admin",), "admin", mlflow_admin=True),
}


@dataclass(frozen=True)
class Person:
    """An account of one person.

    Attributes:
        name: User name in every service.
        role: A key of ROLES.
        since: Date of the account, as YYYY-MM-DD.
        scrypt: Hash of the password for the embedded warehouse (deploy.chserver.auth).
        sha256: Hash for a ClickHouse server; the password is random, so that no salt is needed.
        werkzeug: Hash for Superset.
    """

    name: str
    role: str
    since: str
    scrypt: str = field(repr=False)
    sha256: str = field(repr=False)
    werkzeug: str = field(repr=False)


def load_people(home: Home) -> dict[str, Person]:
    """Read the accounts.

    Args:
        home: Holds the file.

    Returns:
        Persons by name.

    Raises:
        HomeError: The file is not valid.
    """
    found = read_json(home.config / FILE, default={})
    return {name: Person(**entry) for name, entry in sorted(found.items())}


def save_people(home: Home, people: dict[str, Person]) -> None:
    """Write the accounts, with mode 0600.

    Args:
        home: Holds the file.
        people: Persons by name.
    """
    entries = {name: asdict(person) for name, person in people.items()}
    write_private(home.config / FILE, json.dumps(entries, indent=1))


def check_name(name: str, taken: str) -> None:
    """Refuse names that a service could not use, or uses itself.

    Args:
        name: The wanted user name.
        taken: Superset's administrator, whose name is a setting.

    Raises:
        UsageError: The name cannot be used.
    """
    if not NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be a user name: it needs 2 to 32 lower-case letters, digits, "
            "hyphens or underscores, a letter first."
        )
    if name in RESERVED or name == taken:
        raise UsageError(f"{name!r} is the name of a service's own account; choose another one.")


def give(people: dict[str, Person], name: str, role: str | None = None) -> str:
    """Generate a password, for a new account or for one that is there.

    Args:
        people: Persons by name; changed in place.
        name: User name.
        role: Key of ROLES for a new account; None for a new password only.

    Returns:
        The password, of which the accounts hold hashes only.

    Raises:
        UsageError: There is no such role or account, or there is one already.
    """
    from werkzeug.security import generate_password_hash

    if role is None:
        role = known(people, name).role
    elif role not in ROLES:
        raise UsageError(f"There is no role {role!r}; choose from {', '.join(ROLES)}.")
    elif name in people:
        raise UsageError(
            f"{name!r} already has an account: `user rotate {name}` gives it a new password."
        )
    password = secrets.token_urlsafe(18)
    people[name] = Person(
        name=name,
        role=role,
        since=datetime.now(UTC).date().isoformat(),
        scrypt=hash_password(password),
        sha256=hashlib.sha256(password.encode()).hexdigest(),
        werkzeug=generate_password_hash(password),
    )
    return password


def known(people: dict[str, Person], name: str) -> Person:
    """The person of this name.

    Args:
        people: Persons by name.
        name: User name.

    Returns:
        The account.

    Raises:
        UsageError: There is no such account.
    """
    if name not in people:
        raise UsageError(f"There is no account {name!r}. Accounts: {', '.join(people) or 'none'}.")
    return people[name]


def in_warehouse(people: dict[str, Person]) -> dict[str, dict[str, str]]:
    """Accounts for the embedded ClickHouse server: hash and role by name."""
    return {
        name: {"password_hash": person.scrypt, "role": ROLES[person.role].clickhouse}
        for name, person in people.items()
    }


def in_superset(people: dict[str, Person]) -> str:
    """Accounts for Superset's bootstrap: a JSON list of names, roles and hashes."""
    return json.dumps(
        [
            {"name": name, "roles": ROLES[person.role].superset, "hash": person.werkzeug}
            for name, person in people.items()
        ]
    )


def changes(home: Home) -> dict[str, str]:
    """Environment that is another one when accounts change, so that a service starts again.

    Args:
        home: Holds the accounts.

    Returns:
        One variable, or none while there are no accounts.
    """
    path = home.config / FILE
    if not load_people(home):
        return {}
    return {"WEEKAHEAD_PEOPLE": hashlib.sha256(path.read_bytes()).hexdigest()[:16]}
