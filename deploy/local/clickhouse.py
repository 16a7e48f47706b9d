"""The ClickHouse engine: a ``clickhouse`` program if installed, else chDB behind HTTP."""

import json
import shutil
import sys
from hashlib import sha256
from http.client import HTTPException
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

from deploy import FOLDER
from deploy.local.people import ROLES as PEOPLE
from deploy.local.people import changes, in_warehouse, load_people
from deploy.local.service import HOST, Service, ask
from deploy.local.state import load_state
from lakehouse.home import Home, Secrets, write_private
from lakehouse.memory import GIB, shares
from lakehouse.settings import Settings

ROLES = ("admin", "writer", "reader")
DEPLOY = FOLDER / "clickhouse"
ACCESS = FOLDER / "chserver" / "access.xml"
SERVER_CONFIG = """<clickhouse>
  <logger><level>warning</level><console>true</console></logger>
  <listen_host>{host}</listen_host>
  <http_port>{port}</http_port>
  <path>{data}/</path>
  <tmp_path>{data}/tmp/</tmp_path>
  <user_files_path>{data}/user_files/</user_files_path>
  <format_schema_path>{data}/format_schemas/</format_schema_path>
  <max_server_memory_usage>{memory}</max_server_memory_usage>
  <user_directories><users_xml><path>users.xml</path></users_xml></user_directories>
</clickhouse>
"""
# An XML name may not hold every character of a user name, but takes all that ours have.
PERSON_CONFIG = (
    "<{name}><password_sha256_hex>{sha256}</password_sha256_hex><networks><ip>::/0</ip></networks>"
    "<profile>{role}</profile><quota>default</quota>"
    "<grants><query>GRANT {role}</query></grants></{name}>"
)
USERS_CONFIG = "<clickhouse><profiles/><users/><quotas><default/></quotas></clickhouse>\n"


def service(settings: Settings, home: Home, secrets: Secrets) -> Service:
    """Describe the ClickHouse server of this home.

    An installed ``clickhouse`` program is preferred. Each engine has its own data directory,
    because they may not be able to read each other's.

    Args:
        settings: Port and memory.
        home: Where data and configuration are stored.
        secrets: Passwords of the accounts.

    Returns:
        The service.
    """
    program = shutil.which("clickhouse")
    if program:
        return _real_server(program, settings, home, secrets)
    return _embedded_server(settings, home, secrets)


def _real_server(program: str, settings: Settings, home: Home, secrets: Secrets) -> Service:
    """A ClickHouse server with the accounts and roles of deploy/clickhouse."""
    config = home.config / "clickhouse"
    data = home.data("clickhouse-server")

    def prepare(port: dict[str, int]) -> None:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in ("config.d", "users.d"):
            (config / folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        text = SERVER_CONFIG.format(
            host=HOST,
            port=port["http"],
            data=escape(str(data)),
            memory=shares(settings).engine,
        )
        write_private(config / "config.xml", text)
        write_private(config / "users.xml", USERS_CONFIG)
        for source in (DEPLOY / "config.d/server.xml", DEPLOY / "users.d/users.xml"):
            write_private(config / source.parent.name / source.name, source.read_text())
        write_private(config / "users.d" / ACCESS.name, ACCESS.read_text())
        write_private(config / "users.d" / "people.xml", _people_config(home))

    return Service(
        name="clickhouse",
        ports={"http": settings.services.clickhouse_port},
        command=lambda _: [program, "server", f"--config-file={config / 'config.xml'}"],
        ready=_answers,
        environment={
            f"CLICKHOUSE_{role.upper()}_PASSWORD_SHA256": sha256(
                secrets[f"clickhouse_{role}"].encode()
            ).hexdigest()
            for role in ROLES
        }
        | changes(home),
        prepare=prepare,
    )


def _people_config(home: Home) -> str:
    """Accounts of persons for a ClickHouse server, beside those of users.xml."""
    users = "".join(
        PERSON_CONFIG.format(name=name, sha256=person.sha256, role=PEOPLE[person.role].clickhouse)
        for name, person in load_people(home).items()
    )
    return f"<clickhouse><users>{users}</users></clickhouse>\n"


def _embedded_server(settings: Settings, home: Home, secrets: Secrets) -> Service:
    data = home.data("clickhouse")
    users = home.config / "clickhouse-users.json"
    # A separate folder, because the confined server must not access the logs of others.
    logs = home.logs / "clickhouse"

    def prepare(_: dict[str, int]) -> None:
        from deploy.chserver.auth import hash_password

        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        accounts = {
            role: {"password_hash": hash_password(secrets[f"clickhouse_{role}"]), "role": role}
            for role in ROLES
        } | in_warehouse(load_people(home))
        write_private(users, json.dumps(accounts))

    def command(port: dict[str, int]) -> list[str]:
        return [
            sys.executable,
            "-m",
            "deploy.chserver",
            f"--data={data}",
            f"--host={HOST}",
            f"--port={port['http']}",
            f"--users={users}",
            f"--log-dir={logs}",
            f"--max-memory={shares(settings).engine}",
            f"--memory-setting={memory_setting(settings)}",
            *(f"--connect-port={number}" for number in lake_ports(settings, home)),
        ]

    return Service(
        name="clickhouse",
        ports={"http": settings.services.clickhouse_port},
        command=command,
        ready=_answers,
        environment=changes(home),
        prepare=prepare,
    )


def memory_setting(settings: Settings) -> str:
    """The setting that determines the engine's memory, with its value in GiB."""
    if settings.clickhouse.max_memory_gb:
        return f"WEEKAHEAD_CLICKHOUSE__MAX_MEMORY_GB={settings.clickhouse.max_memory_gb:g}"
    return f"WEEKAHEAD_SERVICES__MEMORY_GB={shares(settings).total / GIB:.2f}"


def lake_ports(settings: Settings, home: Home) -> list[int]:
    """The ports of the lake's store and catalog, the only ones the engine may connect to.

    They are part of the command line, so that the engine restarts if they change.

    Args:
        settings: Configured addresses of the lake.
        home: Knows the ports of the embedded store.

    Returns:
        Port numbers in ascending order.
    """
    store = load_state(home).ports.get("seaweedfs", {})
    ports = {store[name] for name in ("s3", "catalog") if name in store}
    for address in (settings.catalog.uri, settings.catalog.token_uri, settings.s3.endpoint):
        url = urlsplit(address or "")
        if url.hostname:
            ports.add(url.port or (443 if url.scheme == "https" else 80))
    return sorted(ports)


def _answers(ports: dict[str, int]) -> bool:
    try:
        with ask(f"http://{HOST}:{ports['http']}/ping", timeout=2):
            return True
    except (OSError, HTTPException):
        return False
