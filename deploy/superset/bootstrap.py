"""Bring Superset's state up to date: schema, roles, the administrator, the assets.

Runs in Superset's environment, before its server starts. Each ``superset`` command would spend
seven seconds on imports, so this does in one process what ``db upgrade``, ``init``,
``fab create-admin`` and ``POST /api/v1/assets/import/`` do. Passwords come from the environment.

==============================  ==========================================================
WAREHOUSE_URI                   ``clickhousedb://reader@host:8123/marts``, no password
WAREHOUSE_PASSWORD              the reader's
SUPERSET_ADMIN_USER, …PASSWORD  the administrator; made at the first start
SUPERSET_LANGUAGE               of the dashboards: en or ru
SUPERSET_PEOPLE                 JSON: [{name, roles, hash}], the accounts of persons; unset
                                leaves all accounts alone
==============================  ==========================================================

What people make themselves stays. The assets of the repository overwrite their earlier versions
only when they have changed there, so that an edit made in Superset lives until it is exported.
"""

import json
import logging
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from assets import DATABASE_FILE, bundle, fingerprint
from translate import ENGLISH, to_language

log = logging.getLogger("bootstrap")


def main(*, force: bool = False) -> None:
    """Upgrade, then import what is new."""
    from superset.app import create_app

    app = create_app()
    with app.app_context():
        _upgrade()
        admin = _administrator()
        contents = to_language(
            bundle(os.environ["WAREHOUSE_URI"]), os.environ.get("SUPERSET_LANGUAGE") or ENGLISH
        )
        password = os.environ["WAREHOUSE_PASSWORD"]
        mark = fingerprint({**contents, "password": password})
        if force or _imported() != mark:
            _import(contents, password, admin)
            _remember(mark)
        _set_public(bool(app.config["PUBLIC_ROLE_LIKE"]))
        if people := os.environ.get("SUPERSET_PEOPLE"):
            _set_people(json.loads(people))


def _upgrade() -> None:
    """The database's schema and the roles, when this version has not made them yet."""
    from flask_migrate import upgrade
    from sqlalchemy import inspect
    from superset import appbuilder, security_manager
    from superset.extensions import db

    if inspect(db.engine).has_table("slices") and _current():
        return
    migrations = Path(sys.modules["superset"].__file__ or "").parent / "migrations"
    upgrade(directory=str(migrations))
    appbuilder.add_permissions(update_perms=True)
    security_manager.sync_role_definitions()
    db.session.commit()


def _current() -> bool:
    """Whether the schema is the newest."""
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from superset.extensions import db

    migrations = Path(sys.modules["superset"].__file__ or "").parent / "migrations"
    with db.engine.connect() as connection:
        heads = MigrationContext.configure(connection).get_current_heads()
    return set(heads) == set(ScriptDirectory(str(migrations)).get_heads())


def _administrator():
    """The administrator; the password follows the environment."""
    from superset import security_manager
    from superset.extensions import db

    name = os.environ.get("SUPERSET_ADMIN_USER", "admin")
    password = os.environ["SUPERSET_ADMIN_PASSWORD"]
    user = security_manager.find_user(username=name)
    if user is None:
        user = security_manager.add_user(
            username=name,
            first_name="weekahead",
            last_name="admin",
            email=f"{name}@localhost",
            role=security_manager.find_role("Admin"),
            password=password,
        )
        if not user:
            raise SystemExit(f"The administrator {name!r} could not be made; the log says why.")
        db.session.commit()
    return user


def _import(contents: dict[str, str], password: str, admin) -> None:
    from superset.commands.importers.v1.assets import ImportAssetsCommand
    from superset.utils.core import override_user

    with override_user(admin):
        ImportAssetsCommand(contents, passwords={DATABASE_FILE: password}).run()
    log.info("imported %d asset files", len(contents) - 1)


def _set_public(readable: bool) -> None:
    """Let people without an account read the dashboards, or see to it that they cannot."""
    from superset import security_manager
    from superset.extensions import db

    role = security_manager.find_role("Public")
    if not readable:
        role.permissions = []
    else:
        every = security_manager._get_all_pvms()
        security_manager.set_role("Public", security_manager._is_public_pvm, every)
        _let_read(role)
    db.session.commit()


def _let_read(role) -> None:
    """Let a role read what is in the databases of the dashboards."""
    from superset import security_manager
    from superset.extensions import db
    from superset.models.core import Database

    for database in db.session.query(Database).all():
        right = security_manager.add_permission_view_menu("database_access", database.perm)
        security_manager.add_permission_role(role, right)


READS = "weekahead reader"
# In the field for the last name, so that accounts created in Superset itself are left alone.
OURS = "(weekahead user)"


def _set_people(people: list[dict]) -> None:
    """Create or update these accounts, and lock those of ours that are no longer among them.

    They are not deleted, so that what the person made stays.
    """
    from superset import security_manager
    from superset.extensions import db

    _let_read(security_manager.add_role(READS))
    for person in people:
        roles = [security_manager.find_role(name) for name in person["roles"]]
        user = security_manager.find_user(username=person["name"])
        if user is None:
            user = security_manager.add_user(
                username=person["name"],
                first_name=person["name"],
                last_name=OURS,
                email=f"{person['name']}@localhost",
                role=roles,
                hashed_password=person["hash"],
            )
            if not user:
                raise SystemExit(f"The account {person['name']!r} could not be created.")
        elif user.last_name != OURS:
            raise SystemExit(
                f"Superset has an account {person['name']!r} that was created there: choose "
                "another name, or delete that account in Superset."
            )
        user.active, user.roles, user.password = True, roles, person["hash"]
    names = {person["name"] for person in people}
    for user in security_manager.get_all_users():
        if user.last_name == OURS and user.username not in names:
            user.active = False
    db.session.commit()


def _imported() -> str | None:
    """The fingerprint of the last import, from Superset's own key-value store."""
    from superset.daos.key_value import KeyValueDAO

    return KeyValueDAO.get_value(_resource(), _key(), _codec())


def _remember(mark: str) -> None:
    from superset.daos.key_value import KeyValueDAO
    from superset.extensions import db

    KeyValueDAO.upsert_entry(_resource(), mark, _codec(), _key())
    db.session.commit()


def _resource():
    from superset.key_value.types import KeyValueResource

    return KeyValueResource.APP


def _codec():
    from superset.key_value.types import JsonKeyValueCodec

    return JsonKeyValueCodec()


def _key():
    from uuid import NAMESPACE_URL, uuid5

    return uuid5(NAMESPACE_URL, "weekahead/assets")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    main(force="--force" in sys.argv[1:])
