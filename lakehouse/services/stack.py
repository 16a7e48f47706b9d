"""Starting what is missing, joining what runs, stopping it when nobody uses it any more.

Every command holds a shared lock while it uses the services. Starting and stopping happens under
a second, exclusive lock. The command that finds itself the last holder stops the services. The
kernel lets go of both locks when a process dies, however it dies: a killed command leaves its
services running, and the next one joins them, or replaces those that do not answer.
"""

import fcntl
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO

from pydantic import SecretStr

from lakehouse.errors import ServiceError, SettingsError
from lakehouse.services import clickhouse, prefect, seaweedfs
from lakehouse.services.home import Home, load_secrets, open_home, read_json, write_private
from lakehouse.services.process import HOST, Running, Service, choose_ports, start, stop
from lakehouse.settings import Settings

Progress = Callable[[str], None]
LAKE, WAREHOUSE, PREFECT = "lake", "warehouse", "prefect"
DATA = frozenset({LAKE, WAREHOUSE})


@contextmanager
def running(
    settings: Settings,
    *,
    needs: frozenset[str] = DATA,
    progress: Progress | None = None,
) -> Iterator[Settings]:
    """Have the needed services running, except those that have a configured address.

    Args:
        settings: Addresses that are set there are used as they are.
        needs: Of LAKE, WAREHOUSE and PREFECT; with PREFECT, this process is pointed to the server.
        progress: Told about each service that is started.

    Yields:
        The settings with the addresses and credentials of all services filled in.

    Raises:
        HomeError: The home directory cannot be used.
        ServiceError: A service does not start; the message holds its log's tail.
        SettingsError: Only one half of an address pair is set.
    """
    home = open_home(settings.home, min_free_mb=settings.services.min_free_disk_mb)
    with (home.run / "lease.lock").open("a") as lease:
        with exclusive(home.run / "start.lock"):
            fcntl.flock(lease, fcntl.LOCK_SH)
            # Under the lock: the first commands on a new home must agree on the secrets.
            secrets = load_secrets(home)
            services = _wanted(settings, home, secrets, needs)
            try:
                state = _start_missing(services, settings, home, lease, progress)
                state = {service.name: state[service.name] for service in services}
                _allow_reader_once(home, settings, secrets, state)
            except BaseException:
                if _only_holder(lease):
                    _stop_all(home)
                raise
        try:
            with ExitStack() as scope:
                if "prefect" in state:
                    scope.enter_context(prefect.pointed_to(state["prefect"].ports, secrets))
                yield _filled(settings, state, secrets)
        finally:
            with exclusive(home.run / "start.lock"):
                if _only_holder(lease):
                    _stop_all(home)


def _stop_all(home: Home) -> None:
    """Stop every service that was started from this home."""
    # The warehouse reads the lake: stop in the reverse order of starting.
    for service in reversed(_load_state(home.run / "services.json").values()):
        stop(service)


def _wanted(
    settings: Settings, home: Home, secrets: dict[str, str], needs: frozenset[str]
) -> list[Service]:
    if bool(settings.catalog.uri) != bool(settings.s3.endpoint):
        raise SettingsError(
            "WEEKAHEAD_CATALOG__URI and WEEKAHEAD_S3__ENDPOINT belong together: set both to use a "
            "lake of your own, or neither to use the embedded one."
        )
    services = []
    if LAKE in needs and not settings.catalog.uri:
        services.append(seaweedfs.service(settings, home, secrets))
    if WAREHOUSE in needs and not settings.clickhouse.url:
        services.append(clickhouse.service(settings, home, secrets))
    if PREFECT in needs and not prefect.configured():
        services.append(prefect.service(home, secrets))
    return services


def _start_missing(
    services: list[Service],
    settings: Settings,
    home: Home,
    lease: IO[str],
    progress: Progress | None,
) -> dict[str, Running]:
    """Start, side by side, the services that do not run yet."""
    path = home.run / "services.json"
    state = _load_state(path)
    missing = []
    for service in services:
        known = state.get(service.name)
        if known and known.process():
            if service.ready(known.ports):
                continue
            _replace_hung(service, known, lease)
        missing.append(service)
    if not missing:
        return state
    if progress:
        progress(f"starting {', '.join(service.name for service in missing)}")
    ports = choose_ports(
        {service.name: service.ports for service in missing},
        {name: running.ports for name, running in state.items()},
    )
    with ThreadPoolExecutor(len(missing)) as pool:
        futures = {
            service.name: pool.submit(
                start,
                service,
                ports[service.name],
                home.logs / f"{service.name}.log",
                timeout=settings.services.start_timeout_seconds,
            )
            for service in missing
        }
    failures = [error for future in futures.values() if (error := future.exception())]
    for name, future in futures.items():
        if not future.exception():
            state[name] = future.result()
    _save_state(path, state)
    if failures:
        raise failures[0]
    return state


def _replace_hung(service: Service, known: Running, lease: IO[str]) -> None:
    if not _only_holder(lease):
        raise ServiceError(
            f"{service.name} (process {known.pid}) does not answer, and another weekahead command "
            "is using it. Wait for that command, or stop it, and try again."
        )
    stop(known)


def _allow_reader_once(
    home: Home, settings: Settings, secrets: dict[str, str], state: dict[str, Running]
) -> None:
    done = home.data("seaweedfs") / "reader-policy.done"
    if "seaweedfs" in state and not settings.catalog.uri and not done.exists():
        port = state["seaweedfs"].ports["s3"]
        seaweedfs.allow_reader(f"http://{HOST}:{port}", settings, secrets)
        done.touch()


def _filled(settings: Settings, state: dict[str, Running], secrets: dict[str, str]) -> Settings:
    """The settings, with the embedded services' addresses and credentials in them."""
    filled = settings.model_copy(deep=True)
    if not settings.catalog.uri and "seaweedfs" in state:
        lake = state["seaweedfs"].ports
        filled.catalog.uri = f"http://{HOST}:{lake['catalog']}"
        filled.catalog.warehouse = seaweedfs.TABLE_BUCKET
        filled.s3.endpoint = f"http://{HOST}:{lake['s3']}"
        filled.s3.access_key = secrets["s3_access_key"]
        filled.s3.secret_key = SecretStr(secrets["s3_secret_key"])
        filled.s3.reader_access_key = secrets["s3_reader_access_key"]
        filled.s3.reader_secret_key = SecretStr(secrets["s3_reader_secret_key"])
    if not settings.clickhouse.url and "clickhouse" in state:
        filled.clickhouse.url = f"http://{HOST}:{state['clickhouse'].ports['http']}"
        for role in clickhouse.ROLES:
            setattr(filled.clickhouse, f"{role}_user", role)
            password = SecretStr(secrets[f"clickhouse_{role}"])
            setattr(filled.clickhouse, f"{role}_password", password)
    return filled


@contextmanager
def exclusive(path: Path, *, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold a lock file; the kernel lets go of it when the process dies.

    Args:
        path: The lock file.
        waiting: Called once when somebody else holds the lock.
    """
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting:
                waiting()
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _only_holder(lease: IO[str]) -> bool:
    """Whether no other command uses the services; the shared lock is kept."""
    with suppress(BlockingIOError):
        fcntl.flock(lease, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(lease, fcntl.LOCK_SH)
        return True
    # A failed conversion may have dropped the shared lock.
    fcntl.flock(lease, fcntl.LOCK_SH)
    return False


def _load_state(path: Path) -> dict[str, Running]:
    return {name: Running(**entry) for name, entry in read_json(path, default={}).items()}


def _save_state(path: Path, state: dict[str, Running]) -> None:
    write_private(path, json.dumps({name: asdict(entry) for name, entry in state.items()}))
