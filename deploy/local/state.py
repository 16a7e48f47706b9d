"""What a home knows of its services: the ports they had, and whether the stack stays up.

It is written before a process starts. Whether a process runs is never read from here: the process
manager knows, and every process carries the home's mark in its environment.
"""

import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import psutil

from lakehouse.home import Home, read_json, write_private

Ports = dict[str, dict[str, int]]


@dataclass(frozen=True)
class State:
    """The services of a home.

    Attributes:
        up: Whether the stack stays up when the last command has ended.
        ports: By service and name, of the last start; kept, so that addresses stay the same.
        parts: Optional parts that are up.
    """

    up: bool = False
    ports: Ports = field(default_factory=dict)
    parts: tuple[str, ...] = ()

    def save(self, home: Home) -> None:
        """Write the state in one step."""
        write_private(home.run / "local.json", json.dumps(asdict(self), indent=1))


def load_state(home: Home) -> State:
    """Read the state; a home without one is down."""
    known: dict[str, Any] = read_json(home.run / "local.json", default={})
    up = bool(known.get("up"))
    state = State(up, known.get("ports", {}), tuple(known.get("parts", ())) if up else ())
    return _from_0_1(home, state)


def _from_0_1(home: Home, state: State) -> State:
    """Take over what version 0.1 kept of embedded services, and end those that it left behind."""
    path = home.run / "services.json"
    old: dict[str, dict[str, Any]] = read_json(path, default={})
    for service in old.values():
        try:
            process = psutil.Process(service["pid"])
            if abs(process.create_time() - service["created"]) < 1.0:
                process.terminate()
                process.wait(20)
        except psutil.TimeoutExpired:
            process.kill()
        except psutil.Error:
            continue
    if old:
        ports = {name: service["ports"] for name, service in old.items()} | state.ports
        state = replace(state, ports=ports)
        state.save(home)
        path.unlink()
    return state
