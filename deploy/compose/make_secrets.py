"""Generates the containers' secrets, and gives each service those that it needs.

Usage (in the container ``secrets``, the only one with access to all of them):

    docker compose run --rm secrets show             how people log in
    docker compose run --rm secrets rotate NAME...   new values; then `up -d --force-recreate`
    docker compose run --rm -T secrets set NAME <file   a value that was made or changed elsewhere
    docker compose run --rm secrets user add NAME ROLE  an account for a person, in every service;
                                                     likewise user list, rotate NAME, remove NAME

The volume ``secrets`` stores all values in one file of mode 0600. Each service has its own volume
with the files that it reads; they are rewritten from that file each time.
"""

import base64
import hmac
import json
import os
import re
import sys
from collections.abc import Collection
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

from deploy.chserver.auth import hash_password
from deploy.local import certificates
from deploy.local.mlflow import accounts
from deploy.local.people import ROLES as PEOPLE
from deploy.local.people import (
    check_name,
    give,
    in_superset,
    in_warehouse,
    known,
    load_people,
    save_people,
)
from deploy.local.seaweedfs import s3_identities
from lakehouse.errors import UsageError
from lakehouse.home import LAKE_SECRETS, Home, Secrets, read_json, write_private

ROOT = Path("/var/lib/secrets")
ROLES = ("admin", "writer", "reader")
DATABASES = ("prefect", "mlflow", "superset", "airflow")
# These cannot be rotated here. Passwords of accounts in a database are only initial values, to be
# changed there (`ALTER ROLE`, MLflow's API, the pages of Superset and Airflow). And data that a key
# has encrypted in a database is lost without that key.
KEPT = (
    *("postgres", "mlflow_admin", "superset_admin", "airflow_admin"),
    *("superset_key", "airflow_fernet"),
)
NAMES = (
    *KEPT,
    *(f"database_{name}" for name in DATABASES),
    *LAKE_SECRETS,
    *(f"clickhouse_{role}" for role in ROLES),
    "prefect",
    "mlflow_session",
    "airflow_key",
)
# Authenticates SeaweedFS's parts to each other; it is not derived from a value, only renewed.
CERTIFICATE = "weed_certificate"
CERTIFIED = ("seaweedfs", "localhost", "127.0.0.1")
# deploy/compose/seaweedfs.sh copies them there.
CERTIFICATES_IN_USE = Path("/tmp/weed")  # noqa: S108 - a container has it to itself
# Names of persons who have no account any more; MLflow does not mark whose accounts are ours.
REMOVED = "removed.json"
# Credentials of external services: never generated here, only imported with `set`.
FOREIGN = {
    "catalog_credential": "WEEKAHEAD_CATALOG__CREDENTIAL",
    "catalog_reader_credential": "WEEKAHEAD_CATALOG__READER_CREDENTIAL",
    "prefect_api_key": "PREFECT_API_KEY",
}


def load(renew: Collection[str] = frozenset()) -> Secrets:
    """All secrets by name; generates those that are missing or to be renewed."""
    return Secrets.load(ROOT / "all" / "secrets.json", NAMES, renew=renew)


def keep(name: str, text: str) -> Secrets:
    """Import one value from elsewhere; exits with a message if name or value is invalid.

    Args:
        name: Name of the secret.
        text: Its value, 16 to 200 plain characters.

    Returns:
        All secrets.
    """
    if name not in (*NAMES, *FOREIGN) or not re.fullmatch(r"[\w+/=.:-]{16,200}", text, re.ASCII):
        sys.exit(
            f"Cannot set {name}: no such secret, or its value is not 16 to 200 plain characters."
        )
    known = load()
    known[name] = text
    known.save(ROOT / "all" / "secrets.json")
    return known


def hand_out(value: Secrets) -> None:
    """Write each service's files."""
    for write in (
        *(_postgres, _seaweedfs, _clickhouse, _prefect, _mlflow, _pipeline, _superset, _airflow),
    ):
        write(value)


def _postgres(value: Secrets) -> None:
    write_private(ROOT / "postgres" / "postgres", value["postgres"])
    for name in DATABASES:
        write_private(ROOT / "postgres" / name, value[f"database_{name}"])


def _seaweedfs(value: Secrets) -> None:
    write_private(ROOT / "seaweedfs" / "s3.json", json.dumps(s3_identities(value)))
    # The service copies them at start, so that a running one keeps its own.
    certificates.ensure(ROOT / "seaweedfs", CERTIFIED, used_in=CERTIFICATES_IN_USE)
    _environment(
        "seaweedfs",
        WEED_JWT_SIGNING_KEY=value["weed_jwt"],
        WEED_JWT_SIGNING_READ_KEY=value["weed_jwt_read"],
        WEED_JWT_FILER_SIGNING_KEY=value["weed_jwt_filer"],
        WEED_JWT_FILER_SIGNING_READ_KEY=value["weed_jwt_filer_read"],
        # The same keys as in the file above, as MinIO wants them (minio.yml).
        MINIO_ROOT_USER=value["s3_access_key"],
        MINIO_ROOT_PASSWORD=value["s3_secret_key"],
        S3_READER_USER=value["s3_reader_access_key"],
        S3_READER_PASSWORD=value["s3_reader_secret_key"],
    )


def _clickhouse(value: Secrets) -> None:
    users = {
        role: {"password_hash": hash_password(value[f"clickhouse_{role}"]), "role": role}
        for role in ROLES
    } | in_warehouse(load_people(_home()))
    write_private(ROOT / "clickhouse" / "users.json", json.dumps(users))
    hashes = {
        f"CLICKHOUSE_{role.upper()}_PASSWORD_SHA256": sha256(
            value[f"clickhouse_{role}"].encode()
        ).hexdigest()
        for role in ROLES
    }
    _environment(
        "clickhouse",
        **hashes,
        CLICKHOUSE_LAKE_ACCESS_KEY_ID=value["s3_reader_access_key"],
        CLICKHOUSE_LAKE_SECRET_ACCESS_KEY=value["s3_reader_secret_key"],
    )


def _prefect(value: Secrets) -> None:
    _environment(
        "prefect",
        PREFECT_SERVER_API_AUTH_STRING=_prefect_login(value),
        PREFECT_API_AUTH_STRING=_prefect_login(value),
        PREFECT_SERVER_DATABASE_CONNECTION_URL=_database(value, "prefect", "postgresql+asyncpg"),
    )


def _mlflow(value: Secrets) -> None:
    database = _database(value, "mlflow", "postgresql+psycopg2", database="mlflow_accounts")
    write_private(ROOT / "mlflow" / "accounts.ini", accounts(database, value["mlflow_admin"]))
    people = [
        {"name": name, "admin": PEOPLE[person.role].mlflow_admin, "hash": person.werkzeug}
        for name, person in load_people(_home()).items()
    ]
    persons = {"people": people, "removed": read_json(_home().config / REMOVED, default=[])}
    write_private(ROOT / "mlflow" / "people.json", json.dumps(persons))
    _environment(
        "mlflow",
        MLFLOW_BACKEND_STORE_URI=_database(value, "mlflow", "postgresql+psycopg2"),
        MLFLOW_FLASK_SERVER_SECRET_KEY=value["mlflow_session"],
        # The server only reads artifacts; training writes them to the object store directly.
        AWS_ACCESS_KEY_ID=value["s3_reader_access_key"],
        AWS_SECRET_ACCESS_KEY=value["s3_reader_secret_key"],
    )


def _pipeline(value: Secrets) -> None:
    passwords = {
        f"WEEKAHEAD_CLICKHOUSE__{role.upper()}_PASSWORD": value[f"clickhouse_{role}"]
        for role in ROLES
    }
    elsewhere = {variable: value[name] for name, variable in FOREIGN.items() if name in value}
    # Prefect's client would prefer a login over a key.
    if "prefect_api_key" not in value:
        elsewhere["PREFECT_API_AUTH_STRING"] = _prefect_login(value)
    _environment(
        "pipeline",
        WEEKAHEAD_S3__ACCESS_KEY=value["s3_access_key"],
        WEEKAHEAD_S3__SECRET_KEY=value["s3_secret_key"],
        WEEKAHEAD_S3__READER_ACCESS_KEY=value["s3_reader_access_key"],
        WEEKAHEAD_S3__READER_SECRET_KEY=value["s3_reader_secret_key"],
        WEEKAHEAD_MLFLOW__USERNAME="admin",
        WEEKAHEAD_MLFLOW__PASSWORD=value["mlflow_admin"],
        **passwords,
        **elsewhere,
    )


def _superset(value: Secrets) -> None:
    _environment(
        "superset",
        SUPERSET_SECRET_KEY=value["superset_key"],
        SUPERSET_DATABASE_URI=_database(value, "superset", "postgresql+psycopg2"),
        SUPERSET_ADMIN_PASSWORD=value["superset_admin"],
        SUPERSET_PEOPLE=in_superset(load_people(_home())),
        WAREHOUSE_PASSWORD=value["clickhouse_reader"],
    )


def _airflow(value: Secrets) -> None:
    connection = {
        "conn_type": "prefect",
        "host": "http://prefect:4200/api",
        "login": "weekahead",
        "password": value["prefect"],
        "extra": {"ui_url": os.environ.get("PREFECT_PAGES", "http://127.0.0.1:4200")},
    }
    fernet = sha256(value["airflow_fernet"].encode()).digest()
    _environment(
        "airflow",
        AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=_database(value, "airflow", "postgresql+psycopg2"),
        AIRFLOW__CORE__FERNET_KEY=base64.urlsafe_b64encode(fernet).decode(),
        AIRFLOW__API__SECRET_KEY=_derived(value["airflow_key"], "api"),
        AIRFLOW__API_AUTH__JWT_SECRET=_derived(value["airflow_key"], "jwt"),
        AIRFLOW_CONN_PREFECT_DEFAULT=json.dumps(connection),
    )
    # Not in the environment, because only the first start reads it.
    write_private(ROOT / "airflow" / "admin", value["airflow_admin"])
    people = [
        {"name": name, "role": PEOPLE[person.role].airflow.capitalize(), "hash": person.werkzeug}
        for name, person in load_people(_home()).items()
    ]
    write_private(ROOT / "airflow" / "people.json", json.dumps(people))


def show(value: Secrets) -> None:
    """Print how people log in."""
    print(f"Prefect   {_prefect_login(value)}")
    print(f"MLflow    admin / {value['mlflow_admin']} (as first set)")
    print(f"Superset  admin / {value['superset_admin']} (as first set)")
    print(f"Airflow   admin / {value['airflow_admin']} (as first set)")


def rotate(names: list[str]) -> None:
    """Generate new values, and write the services' files."""
    possible = [name for name in (*NAMES, CERTIFICATE) if name not in KEPT]
    if wrong := [name for name in names if name not in possible]:
        sys.exit(f"Cannot rotate {', '.join(wrong)}. These can be: {', '.join(possible)}.")
    if CERTIFICATE in names:
        certificates.make(ROOT / "seaweedfs", CERTIFIED)
    hand_out(load(names))


def user(words: list[str]) -> None:
    """Add, list, rotate or remove an account of a person; exits with a message if it cannot."""
    home = _home()
    people = load_people(home)
    before = set(people)
    password = ""
    match words:
        case ["list"]:
            for person in people.values():
                print(f"{person.name:<33}{person.role:<9}{person.since}")
            return
        case ["add", name, role]:
            check_name(name, "admin")
            password = give(people, name, role)
        case ["rotate", name]:
            password = give(people, name)
        case ["remove", name]:
            del people[known(people, name).name]
        case _:
            raise UsageError(
                "usage: secrets user [list | add NAME ROLE | rotate NAME | remove NAME]"
            )
    removed = {*read_json(home.config / REMOVED, default=[]), *before} - people.keys()
    write_private(home.config / REMOVED, json.dumps(sorted(removed)))
    save_people(home, people)
    hand_out(load())
    if password:
        print(f"password (shown only now): {password}")


def _home() -> Home:
    """Where the accounts of persons are kept, as in a home."""
    home = Home(ROOT / "all")
    home.config.mkdir(mode=0o700, exist_ok=True)
    return home


def _prefect_login(value: Secrets) -> str:
    return f"weekahead:{value['prefect']}"


def _database(value: Secrets, user: str, scheme: str, *, database: str = "") -> str:
    password = quote(value[f"database_{user}"], safe="")
    return f"{scheme}://{user}:{password}@postgres:5432/{database or user}"


def _derived(key: str, purpose: str) -> str:
    """A key of 64 bytes, because Airflow's tokens are signed with SHA-512."""
    return hmac.digest(key.encode(), purpose.encode(), "sha512").hex()


def _environment(service: str, **variables: str) -> None:
    """Write the file that ``with-secrets.sh`` reads."""
    lines = []
    for name, value in variables.items():
        # Inside single quotes, only the quote itself is special to a shell.
        quoted = value.replace("'", "'\\''")
        lines.append(f"{name}='{quoted}'\n")
    write_private(ROOT / service / "env", "".join(lines))


def main(arguments: list[str]) -> None:
    """Generate and distribute secrets, or do what the arguments ask for."""
    match arguments:
        case []:
            hand_out(load())
        case ["show"]:
            show(load())
        case ["rotate", *names] if names:
            rotate(names)
            print("Done. Now: docker compose up -d --force-recreate --wait")
        case ["set", name]:
            hand_out(keep(name, sys.stdin.read().strip()))
            print("Done. Now: docker compose up -d --force-recreate --wait")
        case ["user", *words]:
            try:
                user(words)
            except UsageError as error:
                sys.exit(str(error))
            print("Done. Now: docker compose up -d --force-recreate --wait")
        case _:
            sys.exit("usage: secrets [show | rotate NAME... | set NAME | user ...]")


if __name__ == "__main__":
    main(sys.argv[1:])
