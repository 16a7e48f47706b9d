"""Creates Airflow's database and accounts before the servers start; idempotent.

Airflow's own command takes the password as an argument, which other processes can see.
"""

import json
import subprocess
import sys
from pathlib import Path

from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder

USER = "admin"
# In the field for the last name, so that accounts created in Airflow itself are left alone.
OURS = "(weekahead user)"


def main() -> None:
    """Migrate the database, and create or update the accounts."""
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True)
    with get_application_builder() as builder:
        accounts = builder.sm
        if not accounts.find_user(username=USER):
            password = Path("/secrets/admin").read_text()
            _add(accounts, USER, "admin", "Admin", password=password)
        _set_people(accounts, json.loads(Path("/secrets/people.json").read_text()))


def _set_people(accounts, people: list[dict[str, str]]) -> None:
    """Create or update these accounts, and lock those of ours that are no longer among them."""
    for person in people:
        name, found = person["name"], accounts.find_user(username=person["name"])
        if not found:
            found = _add(accounts, name, OURS, person["role"], hashed_password=person["hash"])
        elif found.last_name != OURS:
            raise SystemExit(f"Airflow has an account {name!r} that was created there.")
        found.roles = [accounts.find_role(person["role"])]
        found.active, found.password = True, person["hash"]
        accounts.update_user(found)
    names = {person["name"] for person in people}
    for user in accounts.get_all_users():
        if user.last_name == OURS and user.username not in names and user.active:
            user.active = False
            accounts.update_user(user)


def _add(accounts, name: str, last_name: str, role: str, **password: str):
    made = accounts.add_user(
        username=name,
        first_name=name if last_name == OURS else "weekahead",
        last_name=last_name,
        email=f"{name}@localhost",
        role=accounts.find_role(role),
        **password,
    )
    if not made:
        raise SystemExit(f"The account {name!r} could not be created; see the lines above.")
    return made


if __name__ == "__main__":
    main()
