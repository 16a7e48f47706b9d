"""Makes the secrets of the containers, and hands to each service those that it needs.

Usage (in the container ``secrets``, which alone sees all of them):

    docker compose run --rm secrets show             how people log in
    docker compose run --rm secrets rotate NAME...   new values; then `up -d --force-recreate`
    docker compose run --rm -T secrets set NAME <file   a value that was made or changed elsewhere

The volume ``secrets`` keeps every value in one file of mode 0600. Each service has a volume of
its own with the files that it reads; those are written anew each time from the one file.
"""

import base64
import hmac
import json
import os
import re
import secrets as random
import sys
from hashlib import sha256
from pathlib import Path

from deploy.chserver.auth import hash_password
from deploy.local.seaweedfs import s3_identities
from lakehouse.home import LAKE_SECRETS, read_json, write_private

ROOT = Path("/var/lib/secrets")
ROLES = ("admin", "writer", "reader")
DATABASES = ("prefect", "mlflow", "superset", "airflow")
# The first password of an account that lives in a database is only that: later it is changed there
# (`ALTER ROLE`, MLflow's API, the pages of Superset and Airflow), not here. And what a key has
# encrypted in a database is lost without that key.
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
# Logins of services elsewhere: never made here, only taken over with `set`.
FOREIGN = {
    "catalog_credential": "WEEKAHEAD_CATALOG__CREDENTIAL",
    "catalog_reader_credential": "WEEKAHEAD_CATALOG__READER_CREDENTIAL",
    "prefect_api_key": "PREFECT_API_KEY",
}


def load(renew: frozenset[str] = frozenset()) -> dict[str, str]:
    """Every secret by its name; makes what is missing or to be renewed."""
    path = ROOT / "all" / "secrets.json"
    known: dict[str, str] = read_json(path, default={})
    wanted = [name for name in NAMES if name not in known or name in renew]
    if wanted:
        known |= {name: random.token_hex(24) for name in wanted}
        write_private(path, json.dumps(known, indent=1))
    return known


def keep(name: str, text: str) -> dict[str, str]:
    """Take over one value from elsewhere; returns all of them."""
    # Written into files that a shell and other programs read: nothing that would have to be quoted.
    if name not in (*NAMES, *FOREIGN) or not re.fullmatch(r"[\w+/=.:-]{16,200}", text, re.ASCII):
        sys.exit(
            f"Cannot set {name}: no such secret, or its value is not 16 to 200 plain characters."
        )
    known = load() | {name: text}
    write_private(ROOT / "all" / "secrets.json", json.dumps(known, indent=1))
    return known


def hand_out(value: dict[str, str]) -> None:
    """Write the files of each service."""
    for name in ("postgres", *DATABASES):
        key = name if name == "postgres" else f"database_{name}"
        write_private(ROOT / "postgres" / name, value[key])

    write_private(ROOT / "seaweedfs" / "s3.json", json.dumps(s3_identities(value)))
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

    accounts = {
        role: {"password_hash": hash_password(value[f"clickhouse_{role}"]), "role": role}
        for role in ROLES
    }
    write_private(ROOT / "clickhouse" / "users.json", json.dumps(accounts))
    _environment(
        "clickhouse",
        **{
            f"CLICKHOUSE_{role.upper()}_PASSWORD_SHA256": sha256(
                value[f"clickhouse_{role}"].encode()
            ).hexdigest()
            for role in ROLES
        },
        CLICKHOUSE_LAKE_ACCESS_KEY_ID=value["s3_reader_access_key"],
        CLICKHOUSE_LAKE_SECRET_ACCESS_KEY=value["s3_reader_secret_key"],
    )

    login = f"weekahead:{value['prefect']}"
    _environment(
        "prefect",
        PREFECT_SERVER_API_AUTH_STRING=login,
        PREFECT_API_AUTH_STRING=login,
        PREFECT_SERVER_DATABASE_CONNECTION_URL=_database(value, "prefect", "postgresql+asyncpg"),
    )

    accounts_database = _database(
        value, "mlflow", "postgresql+psycopg2", database="mlflow_accounts"
    )
    lines = (
        "[mlflow]",
        "default_permission = READ",
        f"database_uri = {accounts_database}",
        "admin_username = admin",
        f"admin_password = {value['mlflow_admin']}",
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth",
    )
    write_private(ROOT / "mlflow" / "accounts.ini", "\n".join(lines) + "\n")
    _environment(
        "mlflow",
        MLFLOW_BACKEND_STORE_URI=_database(value, "mlflow", "postgresql+psycopg2"),
        MLFLOW_FLASK_SERVER_SECRET_KEY=value["mlflow_session"],
        # The pages show artifacts; who trains writes them to the object store directly.
        AWS_ACCESS_KEY_ID=value["s3_reader_access_key"],
        AWS_SECRET_ACCESS_KEY=value["s3_reader_secret_key"],
    )

    _environment(
        "pipeline",
        WEEKAHEAD_S3__ACCESS_KEY=value["s3_access_key"],
        WEEKAHEAD_S3__SECRET_KEY=value["s3_secret_key"],
        WEEKAHEAD_S3__READER_ACCESS_KEY=value["s3_reader_access_key"],
        WEEKAHEAD_S3__READER_SECRET_KEY=value["s3_reader_secret_key"],
        **{
            f"WEEKAHEAD_CLICKHOUSE__{role.upper()}_PASSWORD": value[f"clickhouse_{role}"]
            for role in ROLES
        },
        WEEKAHEAD_MLFLOW__USERNAME="admin",
        WEEKAHEAD_MLFLOW__PASSWORD=value["mlflow_admin"],
        # Prefect's client would prefer it to a key.
        **({} if "prefect_api_key" in value else {"PREFECT_API_AUTH_STRING": login}),
        **{variable: value[name] for name, variable in FOREIGN.items() if name in value},
    )

    _environment(
        "superset",
        SUPERSET_SECRET_KEY=value["superset_key"],
        SUPERSET_DATABASE_URI=_database(value, "superset", "postgresql+psycopg2"),
        SUPERSET_ADMIN_PASSWORD=value["superset_admin"],
        WAREHOUSE_PASSWORD=value["clickhouse_reader"],
    )

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
    # Beside the environment: only the first start reads it.
    write_private(ROOT / "airflow" / "admin", value["airflow_admin"])


def show(value: dict[str, str]) -> None:
    """Print how people log in."""
    print(f"Prefect   weekahead:{value['prefect']}")
    print(f"MLflow    admin / {value['mlflow_admin']} (as first set)")
    print(f"Superset  admin / {value['superset_admin']} (as first set)")
    print(f"Airflow   admin / {value['airflow_admin']} (as first set)")


def _database(value: dict[str, str], user: str, scheme: str, *, database: str = "") -> str:
    password = value[f"database_{user}"]
    return f"{scheme}://{user}:{password}@postgres:5432/{database or user}"


def _derived(key: str, purpose: str) -> str:
    """A key of 64 bytes: Airflow's tokens are signed with SHA-512."""
    return hmac.digest(key.encode(), purpose.encode(), "sha512").hex()


def _environment(service: str, **variables: str) -> None:
    # No value holds a single quote: they are hexadecimal, base64, or made of such.
    text = "".join(f"{name}='{value}'\n" for name, value in variables.items())
    write_private(ROOT / service / "env", text)


def main(arguments: list[str]) -> None:
    """Make and hand out; then what the arguments ask for."""
    match arguments:
        case []:
            hand_out(load())
        case ["show"]:
            show(load())
        case ["rotate", *names] if names:
            if wrong := [name for name in names if name not in NAMES or name in KEPT]:
                sys.exit(
                    f"Cannot rotate {', '.join(wrong)}. These can be: "
                    f"{', '.join(name for name in NAMES if name not in KEPT)}."
                )
            hand_out(load(frozenset(names)))
            print("Done. Now: docker compose up -d --force-recreate --wait")
        case ["set", name]:
            hand_out(keep(name, sys.stdin.read().strip()))
            print("Done. Now: docker compose up -d --force-recreate --wait")
        case _:
            sys.exit("usage: secrets [show | rotate NAME... | set NAME]")


if __name__ == "__main__":
    main(sys.argv[1:])
