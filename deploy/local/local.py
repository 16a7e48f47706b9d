"""The local stack: services that stay up in the background, until they are taken down.

The process manager owns the processes; this module decides what runs, in which order, on which
ports, and waits for it. Optional parts are modules of this package with the functions ``install``,
``prepare`` and ``services``: see :class:`Part`.
"""

import fcntl
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol, cast

import psutil

from deploy.local import clickhouse, deployments, mlflow, prefect, seaweedfs
from deploy.local.process import Running, Service, choose_ports, tail
from deploy.local.stack import (
    Local,
    Progress,
    allow_reader_once,
    exclusive,
    fill,
    load_local,
    only_holder,
    stop_all,
)
from deploy.local.supervisor import Program, Supervisor
from lakehouse.errors import ServiceError, UsageError
from lakehouse.home import Home, load_secrets, open_home, write_private
from lakehouse.settings import Settings

PARTS = ("superset", "airflow")
MAX_STARTS = 3
# The first start of these servers creates their databases, several at once.
PATIENCE = 3


class Part(Protocol):
    """An optional part of the stack, with an environment of its own."""

    def install(self, home: Home, progress: Progress) -> None:
        """Build the locked environment below the home, unless it is there."""

    def prepare(self, settings: Settings, home: Home, secrets: dict[str, str]) -> None:
        """Migrate, create accounts, import assets; the base services run already."""

    def services(
        self, settings: Settings, home: Home, secrets: dict[str, str]
    ) -> Sequence[Service]:
        """Describe the processes; the settings hold the base services' addresses."""


@dataclass(frozen=True)
class Status:
    """One service of the stack.

    Attributes:
        name: Its name; its log is logs/NAME.log.
        state: ``ready``, or why it is not.
        page: Address for a browser, if it has pages.
        login: User, and where the password is.
        ports: By name.
        pid: Its process, 0 when there is none.
        memory_mb: Of the process and its children.
        log: Path of its log.
    """

    name: str
    state: str
    page: str
    login: str
    ports: dict[str, int]
    pid: int
    memory_mb: int
    log: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


class Stack:
    """The stack of one home, while ``up.lock`` is held."""

    def __init__(self, settings: Settings, progress: Progress) -> None:
        self.settings = settings
        self.progress = progress
        self.home = open_home(settings.home, min_free_mb=settings.services.min_free_disk_mb)
        self.secrets = load_secrets(self.home)
        self.supervisor = Supervisor(self.home, self.secrets)
        self.local = load_local(self.home)

    def save(self, local: Local) -> None:
        """Remember the state for commands and for the next start."""
        self.local = local
        write_private(self.home.run / "local.json", json.dumps(asdict(local), indent=1))

    @property
    def filled(self) -> Settings:
        """The settings with the addresses of what is up."""
        return fill(self.settings, self.local.ports, self.secrets)

    def ensure(self, services: Sequence[Service]) -> None:
        """Have these services running as described, and wait until they answer.

        Raises:
            ServiceError: One does not start; the message holds its log's tail.
        """
        programs = self.supervisor.programs()
        wanted = [service for service in services if not self._runs(service, programs)]
        if not wanted:
            return
        self.progress(f"starting {', '.join(service.name for service in wanted)}")
        for service in wanted:
            # A changed service is stopped first, so that its own ports are free again.
            self.supervisor.halt(service.name)
        preferred = {service.name: service.preferred for service in wanted}
        ports = choose_ports(
            {service.name: service.ports for service in wanted}, preferred | self.local.ports
        )
        for service in wanted:
            if service.prepare:
                service.prepare(ports[service.name])
            self.supervisor.launch(service, ports[service.name])
        self.save(Local(self.local.manager, self.local.ports | ports, self.local.parts))
        self._await(wanted)

    def _runs(self, service: Service, programs: Mapping[str, Program]) -> bool:
        """Whether the service runs as it should, and answers."""
        program = programs.get(service.name)
        ports = self.local.ports.get(service.name, {})
        return bool(
            program
            and program.state == "RUNNING"
            and set(ports) >= set(service.ports)
            and not self.supervisor.changed(service, ports)
            and service.ready(ports)
        )

    def _await(self, services: Sequence[Service]) -> None:
        timeout = PATIENCE * self.settings.services.start_timeout_seconds
        deadline = time.monotonic() + timeout
        waiting = {service.name: service for service in services}
        seen: dict[str, set[int]] = {name: set() for name in waiting}
        while waiting:
            programs = self.supervisor.programs()
            for name, service in list(waiting.items()):
                log = self.home.logs / f"{name}.log"
                program = programs.get(name)
                if program and program.pid:
                    seen[name].add(program.pid)
                if program is None or program.state == "FATAL" or len(seen[name]) > MAX_STARTS:
                    raise ServiceError(f"{name} does not start.\n{tail(log)}")
                if program.state == "RUNNING" and service.ready(self.local.ports[name]):
                    del waiting[name]
                elif time.monotonic() > deadline:
                    raise ServiceError(
                        f"{name} did not answer within {timeout:.0f} s.\n{tail(log)}\n"
                        "WEEKAHEAD_SERVICES__START_TIMEOUT_SECONDS gives it more time."
                    )
            time.sleep(0.2)


def up(settings: Settings, parts: Sequence[str], progress: Progress) -> list[Status]:
    """Start the local stack, or what is missing of it, and wait until everything answers.

    Args:
        settings: Services with a configured address are used, not started.
        parts: Of PARTS; those that are up already stay up.
        progress: Told about each step.

    Raises:
        ServiceError: A service does not start.
        UsageError: There is no such part.
    """
    modules = {name: _part(name) for name in parts}
    home = open_home(settings.home)
    with exclusive(home.run / "up.lock", waiting=lambda: progress("another up or down is at it")):
        for module in modules.values():
            module.install(home, progress)
        with exclusive(home.run / "start.lock"):
            stack = Stack(settings, progress)
        before = stack.local
        modules = {name: _part(name) for name in before.parts if before.up} | modules
        try:
            _start(stack, modules)
        except BaseException:
            _undo(stack, before)
            raise
        return _report(stack, modules)


def _start(stack: Stack, modules: dict[str, Part]) -> None:
    settings, home, secrets = stack.settings, stack.home, stack.secrets
    with _nobody_else(stack):
        if not stack.local.up:
            stack.supervisor.sweep()
            manager = stack.supervisor.start()
            stack.save(Local(manager, stack.local.ports))
        stack.ensure(_lake_and_warehouse(stack))
        allow_reader_once(home, settings, secrets, stack.local.ports)
        stack.ensure(_servers(stack))
        filled = stack.filled
        deployments.register(filled, home, stack.progress)
        stack.ensure(_workers(stack))
    for name, module in modules.items():
        stack.progress(f"preparing {name}")
        module.prepare(filled, home, secrets)
        stack.ensure(module.services(filled, home, secrets))
        stack.save(Local(stack.local.manager, stack.local.ports, (*stack.local.parts, name)))


def _undo(stack: Stack, before: Local) -> None:
    """Leave nothing half-started: stop what this attempt has added."""
    if not before.up:
        stack.progress("stopping what was started")
        _shutdown(stack)
        return
    for name in stack.supervisor.programs().keys() - before.ports.keys():
        stack.supervisor.forget(name)


def down(settings: Settings, progress: Progress) -> bool:
    """Stop the local stack, and whatever it has left behind.

    Returns:
        Whether there was anything to stop.
    """
    home = open_home(settings.home)
    with exclusive(home.run / "up.lock", waiting=lambda: progress("another up or down is at it")):
        with exclusive(home.run / "start.lock"):
            stack = Stack(settings, progress)
            was_up = stack.local.up
            _shutdown(stack)
        return was_up


def status(settings: Settings) -> list[Status]:
    """Every service of the stack; empty when it is down."""
    stack = Stack(settings, lambda _: None)
    return _report(stack, {name: _part(name) for name in stack.local.parts})


def _shutdown(stack: Stack) -> None:
    stack.supervisor.shutdown(stack.local.manager)
    stack.save(Local(None, stack.local.ports, ()))


def _part(name: str) -> Part:
    if name not in PARTS or not find_spec(f"deploy.local.{name}"):
        raise UsageError(f"There is no part {name!r} of the stack; choose from {', '.join(PARTS)}.")
    return cast(Part, import_module(f"deploy.local.{name}"))


@contextmanager
def _nobody_else(stack: Stack) -> Iterator[None]:
    """Hold the start lock, and before the first start wait for commands with services of theirs."""
    told = False
    while True:
        with ExitStack() as scope:
            scope.enter_context(exclusive(stack.home.run / "start.lock"))
            lease = scope.enter_context((stack.home.run / "lease.lock").open("a"))
            fcntl.flock(lease, fcntl.LOCK_SH)
            if stack.local.up or only_holder(lease):
                if not stack.local.up:
                    stop_all(stack.home)
                yield
                return
        if not told:
            stack.progress("waiting for another weekahead command to end")
            told = True
        time.sleep(0.5)


def _lake_and_warehouse(stack: Stack) -> list[Service]:
    settings, home, secrets = stack.settings, stack.home, stack.secrets
    services = []
    if not settings.catalog.uri:
        services.append(seaweedfs.service(settings, home, secrets))
    if not settings.clickhouse.url:
        services.append(clickhouse.service(settings, home, secrets))
    return services


def _servers(stack: Stack) -> list[Service]:
    settings = stack.settings
    services = []
    if not prefect.configured(settings):
        services.append(prefect.server(settings, stack.home, stack.secrets))
    if not settings.mlflow.tracking_uri:
        services.append(mlflow.service(stack.filled, stack.home, stack.secrets))
    return services


def _workers(stack: Stack) -> list[Service]:
    filled = stack.filled
    return [prefect.worker(filled, stack.home), prefect.reaper(filled)]


def _report(stack: Stack, modules: dict[str, Part]) -> list[Status]:
    if not stack.local.up:
        return []
    services = [*_lake_and_warehouse(stack), *_servers(stack), *_workers(stack)]
    for module in modules.values():
        services += module.services(stack.filled, stack.home, stack.secrets)
    programs = stack.supervisor.programs()
    secrets_file = stack.home.config / "secrets.json"
    found = []
    for service in services:
        program = programs.get(service.name)
        ports = stack.local.ports.get(service.name, {})
        if program is None:
            state = "missing"
        elif program.state == "RUNNING":
            state = "ready" if service.ready(ports) else "does not answer"
        else:
            state = f"{program.state.lower()} {program.note}".strip()
        login = f"{service.login[0]}, {secrets_file}: {service.login[1]}" if service.login else ""
        pid = program.pid if program else 0
        found.append(
            Status(
                service.name,
                state,
                service.page(ports) if service.page and ports else "",
                login,
                ports,
                pid,
                _memory(pid),
                str(stack.home.logs / f"{service.name}.log"),
            )
        )
    return found


def _memory(pid: int) -> int:
    """Resident memory of a process and its children, in MiB."""
    if not pid:
        return 0
    total = 0
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        for member in [process, *process.children(recursive=True)]:
            with suppress(psutil.Error):
                total += member.memory_info().rss
    return total // 2**20


__all__ = ["PARTS", "Part", "Running", "Status", "down", "status", "up"]
