"""Puts the accounts of persons into MLflow's database before the server starts; idempotent.

MLflow's own functions want a password; these accounts are known by their hashes only.
"""

import configparser
import json
from pathlib import Path

from mlflow.server.auth.db.models import SqlUser
from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

SECRETS = Path("/secrets")


def main() -> None:
    """Create or update the accounts, and delete those of persons who were removed."""
    settings = configparser.ConfigParser()
    settings.read(SECRETS / "accounts.ini")
    database = settings["mlflow"]["database_uri"]
    accounts = json.loads((SECRETS / "people.json").read_text())
    store = SqlAlchemyStore()
    store.init_db(database)  # type: ignore[no-untyped-call]
    for name in accounts["removed"]:
        if store.has_user(name):
            store.delete_user(name)
    with Session(create_engine(database)) as session, session.begin():
        for person in accounts["people"]:
            user = session.query(SqlUser).filter_by(username=person["name"]).one_or_none()
            if user is None:
                user = SqlUser(username=person["name"])
                session.add(user)
            user.password_hash, user.is_admin = person["hash"], person["admin"]


if __name__ == "__main__":
    main()
