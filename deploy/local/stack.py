"""The services of a home: which run, in which order, on which ports, and for how long.

Commands and ``weekahead up`` share everything here, except when the services stop: with the last
command that uses them, or with ``weekahead down``. Every command holds a shared lock, the lease,
while it uses the services. Starting and stopping require a second, exclusive lock. The kernel
releases both when a process dies for any reason.
"""

import logging
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import IO

import psutil

from deploy.local import clickhouse, mlflow, prefect, seaweedfs
from deploy.local.addresses import fill
from deploy.local.manager import Manager, Program
from deploy.local.service import Service, choose_ports, is_free, tail
from deploy.local.state import Ports, State, load_state
from lakehouse.connections.clickhouse_client import attach_lake
from lakehouse.errors import ServiceError, SettingsError
from lakehouse.home import load_secrets, open_home, remove_socket_folder
from lakehouse.locks import only_holder
from lakehouse.settings import Settings

log = logging.getLogger("weekahead")

LAKE, WAREHOUSE, MODELS, PREFECT = "lake", "warehouse", "models", "prefect"
DATA = frozenset({LAKE, WAREHOUSE, MODELS})
MAX_STARTS = 3
MAX_CHOICES = 3
# A service that does not answer after running for this long has hung.
HUNG_SECONDS = 15
# Allows for slow responses on a busy machine.
LEAST_PATIENCE = 10.0


class Stack:
    """The services of one home; starting and stopping require the start lock."""

    def __init__(self, settings: Settings) -> None:
        if bool(settings.catalog.uri) != bool(settings.s3.endpoint):
            raise SettingsError(
                "WEEKAHEAD_CATALOG__URI and WEEKAHEAD_S3__ENDPOINT belong together: set both to "
                "use a lake of your own, or neither to use the embedded one."
            )
        self.settings = settings
        self.home = open_home(settings.home, min_free_mb=settings.services.min_free_disk_mb)
        self.secrets = load_secrets(self.home)
        self.manager = Manager(self.home, self.secrets)
        self.state = load_state(self.home)
        if self.state.up and not self.manager.answers():
            # The machine went down, or the manager was killed.
            self.state = replace(self.state, up=False, parts=())

    def save(
        self,
        *,
        up: bool | None = None,
        ports: Ports | None = None,
        parts: tuple[str, ...] | None = None,
    ) -> None:
        """Change the state, on disk and here; concurrent changes by other commands are kept.

        Args:
            up: Whether the stack is up; None keeps the value.
            ports: Ports to add or replace, by service and port name.
            parts: Optional parts that are up; None keeps them.
        """
        known = load_state(self.home)
        self.state = State(
            self.state.up if up is None else up,
            known.ports | (ports or {}),
            self.state.parts if parts is None else parts,
        )
        self.state.save(self.home)

    def filled(self, services: Sequence[Service]) -> Settings:
        """The settings with the addresses of these services."""
        ports = {service.name: self.state.ports[service.name] for service in services}
        return fill(self.settings, ports, self.secrets)

    def lake_and_warehouse(self, needs: frozenset[str] = DATA) -> list[Service]:
        """The services that hold the data, except external ones."""
        settings, home, secrets = self.settings, self.home, self.secrets
        services = []
        if LAKE in needs and not settings.catalog.uri:
            services.append(seaweedfs.service(settings, home, secrets))
        if WAREHOUSE in needs and not settings.clickhouse.url:
            services.append(clickhouse.service(settings, home, secrets))
        return services

    def provide(self, needs: frozenset[str], lease: IO[str] | None = None) -> Settings:
        """Start everything that is needed and has no configured address.

        Args:
            needs: Any of LAKE, WAREHOUSE, MODELS and PREFECT.
            lease: The caller's lease; None if it is the only user.

        Returns:
            The settings with addresses and credentials of these services.

        Raises:
            ServiceError: A service does not start; the message contains the end of its log.
        """
        services = self.lake_and_warehouse(needs) + self.prefect_server(needs)
        started = self.ensure(services, lease)
        if started:
            # New ports of one service may change the arguments of another.
            started += self.ensure(services, lease)
        filled = self.filled(services)
        ours = needs >= {LAKE, WAREHOUSE} and not self.settings.clickhouse.url
        if ours and {"seaweedfs", "clickhouse"}.intersection(started):
            # Reattach now: addresses may have changed, and ClickHouse has other clients too.
            attach_lake(filled)
        models = self.model_server(filled, needs)
        self.ensure(models, lease)
        return self.filled(services + models)

    def prefect_server(self, needs: frozenset[str]) -> list[Service]:
        """Prefect's server, unless external; a reduced one unless the stack is up."""
        if PREFECT not in needs or prefect.configured(self.settings):
            return []
        describe = prefect.server if self.state.up else prefect.short_lived
        return [describe(self.settings, self.home, self.secrets)]

    def model_server(self, filled: Settings, needs: frozenset[str]) -> list[Service]:
        """MLflow's server while the stack is up; without it, commands use its database.

        Args:
            filled: Address of the lake, where models are stored.
            needs: Must contain MODELS, or nothing is returned.

        Returns:
            At most one service.
        """
        if MODELS not in needs or not self.state.up or self.settings.mlflow.tracking_uri:
            return []
        return [mlflow.service(filled, self.home, self.secrets)]

    def ensure(self, services: Sequence[Service], lease: IO[str] | None = None) -> list[str]:
        """Run these services as described, and wait until they answer.

        Args:
            services: Started in parallel.
            lease: The caller's lease; with it, services that another command may be using are left
                as they are. None means that the caller is the only user.

        Returns:
            Names of those that were started.

        Raises:
            ServiceError: A service does not start; the message contains the end of its log.
        """
        if not services:
            return []
        self.manager.start()
        programs = self.manager.programs()
        alone = lease is None or only_holder(lease)
        wanted = [s for s in services if not self._runs(s, programs.get(s.name), alone)]
        if not wanted:
            return []
        log.info("starting %s", ", ".join(service.name for service in wanted))
        for service in wanted:
            # Release its own ports.
            program = programs.get(service.name)
            hung = program and program.alive and not self.answers(service, program)
            self.manager.halt(service.name, kill=program.pid if program and hung else 0)
        for attempt in range(1, MAX_CHOICES + 1):
            ports = self._choose_ports(wanted)
            try:
                self.manager.launch(wanted, ports)
                self._await(wanted)
                break
            except ServiceError:
                # Another program may take a port between its choice and its use.
                if attempt == MAX_CHOICES or not self._lost_a_port(wanted):
                    raise
        for service in wanted:
            if service.after_start:
                service.after_start(self.state.ports[service.name])
        return [service.name for service in wanted]

    def _choose_ports(self, services: Sequence[Service]) -> Ports:
        preferred = {service.name: service.preferred for service in services}
        ports = choose_ports(
            {service.name: service.ports for service in services}, preferred | self.state.ports
        )
        self.save(ports=ports)
        for service in services:
            if service.prepare:
                service.prepare(ports[service.name])
        return ports

    def _lost_a_port(self, services: Sequence[Service]) -> bool:
        """Stop these services, and tell whether one of their ports is taken by another program."""
        for service in services:
            self.manager.halt(service.name)
        ports = [port for s in services for port in self.state.ports[s.name].values()]
        return not all(is_free(port) for port in ports)

    def answers(self, service: Service, program: Program) -> bool:
        """Whether a service answers, and not another program on its port.

        Args:
            service: The service.
            program: Its process.

        Returns:
            True if it is ready and listens on one of its ports.
        """
        ports = self.state.ports.get(service.name, {})
        return service.ready(ports) and (not ports or _listens(program.pid, ports.values()))

    def _runs(self, service: Service, program: Program | None, alone: bool) -> bool:
        """Whether the service answers, and is configured as wanted as far as it can be now."""
        ports = self.state.ports.get(service.name, {})
        if not (program and program.alive and set(ports) >= set(service.ports)):
            return False
        if self.manager.changed(service, ports):
            if alone:
                return False
            log.warning("%s keeps its settings while another command is using it", service.name)
        patience = max(LEAST_PATIENCE, HUNG_SECONDS * service.patience - program.seconds)
        deadline = time.monotonic() + patience
        while not self.answers(service, program):
            if time.monotonic() > deadline:
                if alone:
                    return False
                raise ServiceError(
                    f"{service.name} (process {program.pid}) does not answer, and another "
                    "weekahead command is using it. Wait for that command, or stop it, and try "
                    "again; `weekahead down` stops everything."
                )
            time.sleep(0.1)
            # After a crash, the service has a new process.
            program = self.manager.programs().get(service.name, program)
        return True

    @property
    def _timeout(self) -> float:
        return self.settings.services.start_timeout_seconds

    def _await(self, services: Sequence[Service]) -> None:
        # On the first start, several servers create their databases at the same time.
        timeout = max(service.patience for service in services) * self._timeout
        deadline = time.monotonic() + timeout
        waiting = {service.name: service for service in services}
        seen: dict[str, set[int]] = {name: set() for name in waiting}
        while waiting:
            programs = self.manager.programs()
            for name, service in list(waiting.items()):
                path = self.home.logs / f"{name}.log"
                program = programs.get(name)
                if program and program.pid:
                    seen[name].add(program.pid)
                if program is None or program.state == "FATAL" or len(seen[name]) > MAX_STARTS:
                    raise ServiceError(f"{name} does not start.\n{tail(path)}")
                if program.alive and self.answers(service, program):
                    del waiting[name]
                elif time.monotonic() > deadline:
                    raise ServiceError(
                        f"{name} did not answer within {timeout:.0f} s.\n{tail(path)}\n"
                        "WEEKAHEAD_SERVICES__START_TIMEOUT_SECONDS gives it more time."
                    )
            time.sleep(0.05)

    def stop(self) -> bool:
        """Stop everything, and any leftovers of killed commands.

        Returns:
            Whether there was anything to stop.
        """
        # Stop the manager first, because it would restart services.
        found = self.manager.stop()
        seaweedfs.remove_sockets(self.state.ports.get("seaweedfs", {}))
        remove_socket_folder(self.home)
        self.save(up=False, parts=())
        return found


def _listens(pid: int, ports: Collection[int]) -> bool:
    """Whether a process or one of its children listens on one of these ports."""
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        for member in [process, *process.children(recursive=True)]:
            with suppress(psutil.Error):
                for connection in member.net_connections("tcp"):
                    if connection.status == psutil.CONN_LISTEN and connection.laddr.port in ports:
                        return True
    return False
