"""The configuration for a real server fits the roles that the embedded one runs with."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from deploy.chserver.auth import ROLES
from deploy.chserver.engine_config import (
    ACCESS_FILE,
    EngineLimits,
    role_settings,
    write_config,
)

DEPLOY = Path(__file__).parents[3] / "deploy" / "clickhouse"


@pytest.mark.parametrize("path", sorted(DEPLOY.rglob("*.xml")), ids=lambda path: path.name)
def test_files_are_well_formed_and_hold_no_secret(path: Path) -> None:
    root = ET.parse(path).getroot()
    assert root.tag == "clickhouse"
    for element in root.iter():
        if "password" in element.tag or element.tag == "secret_access_key":
            assert element.get("from_env") and not (element.text or "").strip()


def test_accounts_use_the_roles_and_profiles_of_access_xml() -> None:
    users = ET.parse(DEPLOY / "users.d" / "users.xml").getroot().find("users")
    assert users is not None and users.find("default") is not None
    accounts = {user.tag: user for user in users if user.tag != "default"}
    assert set(accounts) == set(ROLES)
    for name, account in accounts.items():
        assert account.findtext("profile") == name
        assert account.findtext("grants/query") == f"GRANT {name}"


def test_constraints_cover_the_readers_limits() -> None:
    access = ET.parse(ACCESS_FILE).getroot()
    assert {role.tag for role in access.iterfind("roles/*")} == set(ROLES)
    for role in ("reader", "writer"):
        bound = {c.tag for c in access.iterfind(f"profiles/{role}/constraints/*")}
        changed = set(role_settings()[role]) - {"readonly"}
        assert changed <= bound, f"{role} could undo {changed - bound}"
    # Leaving a profile is refused while it changes readonly, so every profile must name it.
    assert all("readonly" in values for values in role_settings().values())


def test_the_engine_user_has_roles_only(tmp_path: Path) -> None:
    config = write_config(tmp_path / "config", tmp_path, EngineLimits(max_memory=12345))
    root = ET.parse(config).getroot()
    assert root.findtext("max_server_memory_usage") == "12345"
    users = ET.parse(root.findtext("user_directories/users_xml/path") or "").getroot()
    grants = [query.text for query in users.iterfind("users/default/grants/query")]
    assert grants == [f"GRANT {role}" for role in ROLES]
