"""Remembers a home's services: their ports, and whether the stack stays up.

The state is written before a process starts. It does not say whether a process runs: the process
manager knows that, and every process carries the home's mark in its environment.
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
        up: Whether the stack stays up after the last command has ended.
        ports: Ports of the last start, by service and name; kept, so that addresses are stable.
        parts: Optional parts that are up.
    """

    up: bool = False
    ports: Ports = field(default_factory=dict)
    parts: tuple[str, ...] = ()

    def save(self, home: Home) -> None:
        """Write the state atomically."""
        write_private(home.run / "local.json", json.dumps(asdict(self), indent=1))


def load_state(home: Home) -> State:
    """Read the state; without a file, the stack is down."""
    known: dict[str, Any] = read_json(home.run / "local.json", default={})
    up = bool(known.get("up"))
    state = State(up, known.get("ports", {}), tuple(known.get("parts", ())) if up else ())
    return _from_0_1(home, state)


def _from_0_1(home: Home, state: State) -> State:
    """Migrate the embedded services of version 0.1, and stop those it left behind."""
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
