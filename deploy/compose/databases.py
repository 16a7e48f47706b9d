"""Creates one database and one account per client of PostgreSQL; idempotent.

Passwords are set to those in the secrets, so that a rotated secret takes effect.
"""

from pathlib import Path

import psycopg2
from psycopg2 import sql

SECRETS = Path("/secrets")
OWNERS = {
    "prefect": "prefect",
    "mlflow": "mlflow",
    "mlflow_accounts": "mlflow",
    "superset": "superset",
    "airflow": "airflow",
}


def main() -> None:
    """Create what is missing and set the passwords."""
    connection = psycopg2.connect(
        host="postgres", dbname="postgres", user="postgres", password=_secret("postgres")
    )
    # CREATE DATABASE does not run in a transaction.
    connection.autocommit = True
    with connection.cursor() as cursor:
        for account in sorted(set(OWNERS.values())):
            cursor.execute("select 1 from pg_roles where rolname = %s", (account,))
            verb = "alter" if cursor.fetchone() else "create"
            statement = sql.SQL(verb + " role {} login password {}")
            cursor.execute(statement.format(sql.Identifier(account), sql.Literal(_secret(account))))
        for database, owner in OWNERS.items():
            cursor.execute("select 1 from pg_database where datname = %s", (database,))
            names = {"database": sql.Identifier(database), "owner": sql.Identifier(owner)}
            if not cursor.fetchone():
                cursor.execute(sql.SQL("create database {database} owner {owner}").format(**names))
            cursor.execute(sql.SQL("revoke all on database {database} from public").format(**names))
    connection.close()


def _secret(name: str) -> str:
    return (SECRETS / name).read_text()


if __name__ == "__main__":
    main()
