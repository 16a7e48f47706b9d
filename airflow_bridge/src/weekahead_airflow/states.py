"""States of Prefect runs, and what they mean for a task."""

from typing import Any

COMPLETED = "COMPLETED"
UNSUCCESSFUL = frozenset({"FAILED", "CRASHED", "CANCELLED"})
TERMINAL = UNSUCCESSFUL | {COMPLETED}
# A run that is being cancelled does no more work worth waiting for.
LOST = UNSUCCESSFUL | {"CANCELLING"}

# Outcomes that are not Prefect states.
TIMED_OUT = "TIMED_OUT"
MISSING = "MISSING"
UNREACHABLE = "UNREACHABLE"
REFUSED = "REFUSED"


def state_of(run: dict[str, Any]) -> str:
    """The type of a run's state."""
    return str((run.get("state") or {}).get("type") or "PENDING")


def message_of(run: dict[str, Any]) -> str:
    """Prefect's message about a run's state."""
    return str((run.get("state") or {}).get("message") or "")


def label_of(run: dict[str, Any]) -> str:
    """The state's name as Prefect shows it, such as Late or AwaitingRetry."""
    return str((run.get("state") or {}).get("name") or state_of(run).title())


class History:
    """Remembers the states that a run went through; polling alone would miss short ones."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._latest = ""
        self._cancelling = False

    @staticmethod
    def path(flow_run_id: str) -> str:
        """Path of the API that lists all states of a run."""
        return f"/flow_run_states/?flow_run_id={flow_run_id}"

    def is_old(self, run: dict[str, Any]) -> bool:
        """Whether the run's current state was logged already."""
        return self._latest == (run.get("state") or {}).get("id")

    def news(self, run: dict[str, Any], listed: list[dict[str, Any]]) -> list[str]:
        """Log lines for the states that were not logged yet.

        Args:
            run: The run, in the API's format.
            listed: All states of the run, in the API's format.

        Returns:
            One line per new state, oldest first.
        """
        self._latest = (run.get("state") or {}).get("id", "")
        self._cancelling |= any(state["type"] == "CANCELLING" for state in listed)
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

    def outcome(self, run: dict[str, Any]) -> str:
        """How a run has ended, or its current state.

        Prefect reports a run that it cancels as crashed if the run's process, on a busy machine,
        did not learn in time why it was stopped.

        Args:
            run: The run, in the API's format; its states were passed to ``news``.

        Returns:
            The state's type; CANCELLED for a run that was being cancelled and did not complete.
        """
        state = state_of(run)
        return "CANCELLED" if self._cancelling and state in UNSUCCESSFUL else state
