"""Status of the services for people: state, address, login, memory."""

from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import psutil

from deploy.local.lifecycle import described
from deploy.local.stack import Stack
from lakehouse.settings import Settings


@dataclass(frozen=True)
class Status:
    """One service of the stack.

    Attributes:
        name: Its name; its log is logs/NAME.log.
        state: ``ready``, or why it is not.
        page: Address for a browser, if it has pages.
        login: User, and where the password is stored.
        ports: Port numbers by name.
        pid: Its process id; 0 without a process.
        memory_mb: Resident memory of the process and its children, in MiB.
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
        """The fields as a dictionary, for JSON."""
        return asdict(self)


def is_up(settings: Settings) -> bool:
    """Whether `weekahead up` has started the stack of this home."""
    return Stack(settings).state.up


def status(settings: Settings) -> list[Status]:
    """Every service of the stack, or those of running commands."""
    stack = Stack(settings)
    programs = stack.manager.programs()
    secrets_file = stack.home.config / "secrets.json"
    found = []
    for service in described(stack):
        program = programs.get(service.name)
        ports = stack.state.ports.get(service.name, {})
        if program is None:
            state = "missing"
        elif program.alive:
            state = "ready" if stack.answers(service, program) else "does not answer"
        else:
            state = f"{program.state.lower()} {program.note}".strip()
        login = f"{service.login[0]}, {secrets_file}: {service.login[1]}" if service.login else ""
        found.append(
            Status(
                service.name,
                state,
                service.page(ports) if service.page and ports else "",
                login,
                ports,
                program.pid if program else 0,
                _memory(program.pid if program else 0),
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
