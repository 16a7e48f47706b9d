"""States of Prefect runs, and what they mean to a task."""

from typing import Any

COMPLETED = "COMPLETED"
UNSUCCESSFUL = frozenset({"FAILED", "CRASHED", "CANCELLED"})
TERMINAL = UNSUCCESSFUL | {COMPLETED}
# A run that somebody is stopping does no more work that a task could wait for.
LOST = UNSUCCESSFUL | {"CANCELLING"}

# Outcomes that are no state of Prefect.
TIMED_OUT = "TIMED_OUT"
MISSING = "MISSING"
UNREACHABLE = "UNREACHABLE"
REFUSED = "REFUSED"


def state_of(run: dict[str, Any]) -> str:
    """The type of a run's state."""
    return str((run.get("state") or {}).get("type") or "PENDING")


def message_of(run: dict[str, Any]) -> str:
    """What Prefect says about a run's state."""
    return str((run.get("state") or {}).get("message") or "")


def label_of(run: dict[str, Any]) -> str:
    """The state's name as Prefect shows it, such as Late or AwaitingRetry."""
    return str((run.get("state") or {}).get("name") or state_of(run).title())


class History:
    """Which states of a run have been told; a look now and then misses the short ones."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._latest = ""

    @staticmethod
    def path(flow_run_id: str) -> str:
        """Where Prefect lists all states of a run."""
        return f"/flow_run_states/?flow_run_id={flow_run_id}"

    def is_old(self, run: dict[str, Any]) -> bool:
        """Whether the run's state has been told."""
        return self._latest == (run.get("state") or {}).get("id")

    def news(self, run: dict[str, Any], listed: list[dict[str, Any]]) -> list[str]:
        """A line for each state that has not been told, oldest first."""
        self._latest = (run.get("state") or {}).get("id", "")
        lines = []
        for state in sorted(listed, key=lambda each: each["timestamp"]):
            if state["id"] not in self._seen:
                self._seen.add(state["id"])
                message = f": {state['message']}" if state.get("message") else ""
                lines.append(
                    f"Prefect run {run['name']}: {state['name']} "
                    f"at {state['timestamp'][:19]}{message}"
                )
        return lines
