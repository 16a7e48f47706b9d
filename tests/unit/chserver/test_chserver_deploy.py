"""The configuration for a real server fits the roles that the embedded one runs with."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from deploy.chserver import allowed
from deploy.chserver.auth import ROLES
from deploy.chserver.engine_config import (
    ACCESS_FILE,
    EngineLimits,
    role_settings,
    write_config,
)
from deploy.chserver.request import READER_SECONDS

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


def test_what_the_embedded_server_enforces_beside_the_file_is_in_the_file_too() -> None:
    access = ET.parse(ACCESS_FILE).getroot()
    longest = access.findtext("profiles/reader/constraints/max_execution_time/max")
    assert longest == access.findtext("profiles/reader/max_execution_time")
    assert float(longest or 0) == READER_SECONDS
    for role in ("reader", "writer"):
        for constraint in access.iterfind(f"profiles/{role}/constraints/*"):
            locked = constraint.find("readonly") is not None
            # A setting that the file locks is on no list of those that may be changed.
            assert not (locked and allowed.setting(constraint.tag, role)), constraint.tag


def test_a_real_server_keeps_shares_and_paths() -> None:
    users = ET.parse(DEPLOY / "users.d" / "users.xml").getroot()
    server = ET.parse(DEPLOY / "config.d" / "server.xml").getroot()
    places = int(server.findtext("max_concurrent_queries") or 0)
    shares = {
        role: int(users.findtext(f"profiles/{role}/max_concurrent_queries_for_user") or 0)
        for role in ("reader", "writer")
    }
    assert all(0 < share <= places * 3 // 4 for share in shares.values())
    # A reader's memory goes first, and the others' never for a reader's sake.
    ratio = "profiles/{}/memory_overcommit_ratio_denominator"
    assert users.findtext(ratio.format("reader")) == "1"
    assert users.findtext(ratio.format("writer")) == users.findtext(ratio.format("admin")) == "0"
    # Where file() may look is the server's default, a folder for just that.
    assert server.find("user_files_path") is None and server.find("format_schema_path") is None
