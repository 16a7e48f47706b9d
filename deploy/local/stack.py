"""Starting what is missing, joining what runs, stopping it when nobody uses it any more.

Every command holds a shared lock while it uses the services. Starting and stopping happens under
a second, exclusive lock. The command that finds itself the last holder stops the services. The
kernel lets go of both locks when a process dies, however it dies: a killed command leaves its
services running, and the next one joins them, or replaces those that do not answer.

While the local stack is up (``deploy.local.local``), commands use its services, and start
and stop none.
"""

import fcntl
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from pydantic import SecretStr

from deploy.local import clickhouse, mlflow, prefect, seaweedfs
from deploy.local.process import HOST, Running, Service, choose_ports, start, stop
from lakehouse.errors import ServiceError, SettingsError
from lakehouse.home import Home, load_secrets, open_home, read_json, write_private
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
            joined = load_local(home)
            try:
                if joined.up:
                    state = joined.ports
                    _await_local(services, state, settings)
                else:
                    started = _start_missing(services, settings, home, lease, progress)
                    state = {service.name: started[service.name].ports for service in services}
                    allow_reader_once(home, settings, secrets, state)
            except BaseException:
                if only_holder(lease):
                    stop_all(home)
                raise
        filled = fill(settings, state, secrets)
        try:
            with ExitStack() as scope:
                if PREFECT in needs:
                    scope.enter_context(prefect.pointed_to(filled))
                yield filled
        finally:
            with exclusive(home.run / "start.lock"):
                if only_holder(lease):
                    stop_all(home)


@dataclass(frozen=True)
class Local:
    """The local stack of a home: whether it is up, and its ports, which outlive it.

    Attributes:
        manager: The process manager while the stack is up.
        ports: Ports by service and name, of the last start.
        parts: Optional parts that were asked for.
    """

    manager: Running | None
    ports: dict[str, dict[str, int]]
    parts: tuple[str, ...] = ()

    @property
    def up(self) -> bool:
        """Whether the process manager is alive."""
        return self.manager is not None and self.manager.process() is not None


def load_local(home: Home) -> Local:
    """What is known of the local stack."""
    known = read_json(home.run / "local.json", default={})
    manager = known.get("manager")
    return Local(
        Running(**manager) if manager else None,
        known.get("ports", {}),
        tuple(known.get("parts", ())),
    )


def local_stack(settings: Settings) -> Local:
    """The local stack of these settings' home."""
    return load_local(open_home(settings.home))


def _await_local(
    services: list[Service], ports: dict[str, dict[str, int]], settings: Settings
) -> None:
    """Wait for services of the local stack; one that crashed is being restarted."""
    deadline = time.monotonic() + settings.services.start_timeout_seconds
    for service in services:
        while not (service.name in ports and service.ready(ports[service.name])):
            if time.monotonic() > deadline:
                raise ServiceError(
                    f"{service.name} of the local stack does not answer. `weekahead status` shows "
                    "its state, `weekahead up` starts what is missing."
                )
            time.sleep(0.1)


def stop_all(home: Home) -> None:
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
    if PREFECT in needs and not prefect.configured(settings):
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
    if not only_holder(lease):
        raise ServiceError(
            f"{service.name} (process {known.pid}) does not answer, and another weekahead command "
            "is using it. Wait for that command, or stop it, and try again."
        )
    stop(known)


def allow_reader_once(
    home: Home, settings: Settings, secrets: dict[str, str], ports: dict[str, dict[str, int]]
) -> None:
    """Give the read-only account of our own lake its rights, the first time."""
    done = home.data("seaweedfs") / "reader-policy.done"
    if "seaweedfs" in ports and not settings.catalog.uri and not done.exists():
        endpoint = f"http://{HOST}:{ports['seaweedfs']['s3']}"
        seaweedfs.allow_reader(endpoint, settings, secrets)
        done.touch()


def fill(settings: Settings, ports: dict[str, dict[str, int]], secrets: dict[str, str]) -> Settings:
    """The settings, with the addresses and credentials of our own services in them."""
    filled = settings.model_copy(deep=True)
    if not settings.catalog.uri and "seaweedfs" in ports:
        lake = ports["seaweedfs"]
        filled.catalog.uri = f"http://{HOST}:{lake['catalog']}"
        filled.catalog.warehouse = seaweedfs.TABLE_BUCKET
        filled.s3.endpoint = f"http://{HOST}:{lake['s3']}"
        filled.s3.access_key = secrets["s3_access_key"]
        filled.s3.secret_key = SecretStr(secrets["s3_secret_key"])
        filled.s3.reader_access_key = secrets["s3_reader_access_key"]
        filled.s3.reader_secret_key = SecretStr(secrets["s3_reader_secret_key"])
    if not settings.clickhouse.url and "clickhouse" in ports:
        filled.clickhouse.url = f"http://{HOST}:{ports['clickhouse']['http']}"
        for role in clickhouse.ROLES:
            setattr(filled.clickhouse, f"{role}_user", role)
            password = SecretStr(secrets[f"clickhouse_{role}"])
            setattr(filled.clickhouse, f"{role}_password", password)
    if not settings.mlflow.tracking_uri and "mlflow" in ports:
        filled.mlflow.tracking_uri = f"http://{HOST}:{ports['mlflow']['http']}"
        filled.mlflow.username = mlflow.ADMIN
        filled.mlflow.password = SecretStr(secrets[mlflow.PASSWORD])
    own_prefect = "prefect" in ports and not prefect.configured(settings)
    prefect.fill(filled, ports["prefect"] if own_prefect else None, secrets)
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


def only_holder(lease: IO[str]) -> bool:
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
