"""Runs the services for the duration of a command, or in the background."""

import fcntl
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import ModuleType
from typing import IO

from deploy.local import airflow, deployments, prefect, superset
from deploy.local.service import Service
from deploy.local.stack import DATA, PREFECT, Stack
from lakehouse.errors import UsageError
from lakehouse.home import open_home
from lakehouse.locks import exclusive, only_holder
from lakehouse.settings import Settings

PARTS: dict[str, ModuleType] = {"superset": superset, "airflow": airflow}
"""Optional parts, each in its own environment: ``install``, ``prepare``, ``services``."""
log = logging.getLogger("weekahead")


@contextmanager
def running(settings: Settings, *, needs: frozenset[str] = DATA) -> Iterator[Settings]:
    """Run the needed services, except those with a configured address.

    Running services are shared. The last command that uses them stops them, unless the stack is up.

    Args:
        settings: Configured addresses are used as they are.
        needs: Any of LAKE, WAREHOUSE, MODELS and PREFECT; with PREFECT, this process is pointed to
            the server.

    Yields:
        The settings with addresses and credentials of all services.

    Raises:
        HomeError: The home directory cannot be used.
        ServiceError: A service does not start; the message contains the end of its log.
        SettingsError: Only one half of an address pair is set.
    """
    with using(settings) as (stack, lease), ExitStack() as scope:
        with exclusive(stack.home.run / "start.lock"):
            filled = stack.provide(needs, lease)
        if PREFECT in needs:
            scope.enter_context(prefect.pointed_to(filled))
        yield filled


@contextmanager
def using(settings: Settings) -> Iterator[tuple[Stack, IO[str]]]:
    """Hold the lease of a home's services; the last holder stops them, unless the stack is up."""
    home = open_home(settings.home)
    start_lock = home.run / "start.lock"
    with (home.run / "lease.lock").open("a") as lease:
        with exclusive(start_lock):
            fcntl.flock(lease, fcntl.LOCK_SH)
            # Under the lock, so that concurrent first commands on a new home share its secrets.
            stack = Stack(settings)
        try:
            yield stack, lease
        finally:
            with exclusive(start_lock):
                if only_holder(lease) and not Stack(settings).state.up:
                    stack.stop()


def up(settings: Settings, parts: Sequence[str] = ()) -> None:
    """Start the local stack, or what is missing of it, and wait until everything answers.

    Args:
        settings: Services with a configured address are used, not started.
        parts: Any of PARTS; those already up stay up.

    Raises:
        ServiceError: A service does not start.
        UsageError: There is no such part.
    """
    for name in parts:
        if name not in PARTS:
            raise UsageError(
                f"There is no part {name!r} of the stack; choose from {', '.join(PARTS)}."
            )
    home = open_home(settings.home)
    with exclusive(home.run / "up.lock", waiting=_say_busy):
        for name in parts:
            PARTS[name].install(home)
        with _starting(settings) as (stack, lease):
            before = stack.state
            try:
                stack.manager.start()
                stack.save(up=True)
                filled = stack.provide(DATA | {PREFECT}, lease)
                deployments.register(filled, home)
                stack.ensure(_workers(stack, filled), lease)
            except BaseException:
                _undo(stack, up=before.up, lease=lease)
                raise
        for name in dict.fromkeys([*before.parts, *parts]):
            log.info("preparing %s", name)
            PARTS[name].prepare(filled, home, stack.secrets)
            with _starting(settings) as (stack, lease):
                stack.ensure(PARTS[name].services(filled, home, stack.secrets), lease)
                stack.save(parts=tuple(dict.fromkeys([*stack.state.parts, name])))


def down(settings: Settings) -> bool:
    """Stop the local stack, and any leftovers of killed commands.

    Returns:
        Whether there was anything to stop.
    """
    home = open_home(settings.home)
    with exclusive(home.run / "up.lock", waiting=_say_busy), exclusive(home.run / "start.lock"):
        return Stack(settings).stop()


def described(stack: Stack) -> list[Service]:
    """All services that should run: those of commands, or the whole stack while it is up."""
    base = stack.lake_and_warehouse()
    if not stack.state.up:
        programs = stack.manager.programs()
        return [service for service in base if service.name in programs]
    known = [service for service in base if service.name in stack.state.ports]
    filled = stack.filled(known)
    everything = DATA | {PREFECT}
    servers = stack.prefect_server(everything) + stack.model_server(filled, everything)
    services = [*base, *servers, *_workers(stack, stack.filled([*known, *servers]))]
    filled = stack.filled([*known, *servers])
    for name in stack.state.parts:
        services += PARTS[name].services(filled, stack.home, stack.secrets)
    return services


@contextmanager
def _starting(settings: Settings) -> Iterator[tuple[Stack, IO[str]]]:
    """Hold the start lock, after waiting for commands that have their own Prefect server."""
    home = open_home(settings.home)
    told = False
    while True:
        with ExitStack() as scope:
            scope.enter_context(exclusive(home.run / "start.lock"))
            lease = scope.enter_context((home.run / "lease.lock").open("a"))
            fcntl.flock(lease, fcntl.LOCK_SH)
            stack = Stack(settings)
            replaces = not stack.state.up and "prefect" in stack.manager.programs()
            if not replaces or only_holder(lease):
                yield stack, lease
                return
        if not told:
            log.info("waiting for another weekahead command to end")
            told = True
        time.sleep(0.5)


def _workers(stack: Stack, filled: Settings) -> list[Service]:
    return [prefect.worker(filled, stack.home), prefect.reaper(filled)]


def _undo(stack: Stack, *, up: bool, lease: IO[str]) -> None:
    """Restore the previous state; services used by other commands stay until those end."""
    if up:
        return
    log.info("stopping what was started")
    stack.save(up=False, parts=())
    if only_holder(lease):
        stack.stop()


def _say_busy() -> None:
    log.info("waiting for another `weekahead up` or `down` to end")
