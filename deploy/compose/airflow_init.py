"""Creates Airflow's database and administrator before the servers start; idempotent.

Airflow's own command takes the password as an argument, which other processes can see.
"""

import subprocess
import sys
from pathlib import Path

from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder

USER = "admin"


def main() -> None:
    """Migrate the database, and create the account if it does not exist."""
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True)
    with get_application_builder() as builder:
        accounts = builder.sm
        if accounts.find_user(username=USER):
            return
        made = accounts.add_user(
            username=USER,
            first_name="weekahead",
            last_name="admin",
            email=f"{USER}@localhost",
            role=accounts.find_role("Admin"),
            password=Path("/secrets/admin").read_text(),
        )
        if not made:
            raise SystemExit(f"The account {USER!r} could not be created; see the lines above.")


if __name__ == "__main__":
    main()
