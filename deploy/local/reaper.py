"""Marks runs whose process is gone as crashed: ``python -m deploy.local.reaper``.

When a worker and a flow's process are killed, Prefect's server is not notified: the run would stay
"Running" forever and keep its concurrency slot. The local stack's runs have their process on this
machine, so checking is exact and quick. Runs on other machines, in other work pools, are found by
missing heartbeats instead (see ``flows.register``).
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psutil
from urllib3 import PoolManager, Retry, make_headers
from urllib3.exceptions import HTTPError

# Longer than a worker on a busy machine takes from claiming a run to recording its process.
PENDING_LIMIT = timedelta(seconds=120)
INTERVAL_SECONDS = 10.0
UNFINISHED = ["RUNNING", "PENDING", "CANCELLING"]
# Tolerates clock adjustments, and the delay between the start of a process and of its run.
SLACK_SECONDS = 60.0
MESSAGE = "Its process died unexpectedly: killed, out of memory, or the machine went down."
PAGE = 200
# The server's database allows one writer at a time; while it is busy, the server answers 503.
BUSY = Retry(
    total=5,
    connect=0,
    read=0,
    status_forcelist=[503],
    allowed_methods=None,
    backoff_factor=0.5,
    raise_on_status=False,
)


class Server:
    """A minimal client of Prefect's API."""

    def __init__(self, url: str, auth: str | None) -> None:
        self._url = url.rstrip("/")
        self._pool = PoolManager(headers=make_headers(basic_auth=auth), retries=BUSY, timeout=30.0)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Call the API, with retries while the server is busy.

        Args:
            path: Path below the API's URL, starting with a slash.
            body: Sent as JSON.

        Returns:
            The decoded response; None if it is empty.

        Raises:
            OSError: The server does not answer, or refuses.
        """
        try:
            answer = self._pool.request("POST", f"{self._url}{path}", json=body)
        except HTTPError as error:
            raise OSError(f"{self._url} does not answer: {error}") from error
        if answer.status >= 400:
            raise OSError(f"{self._url}{path} answers {answer.status}: {answer.data[:500]!r}")
        return json.loads(answer.data or b"null")

    def unfinished(self, kind: str, **criteria: Any) -> Iterator[dict[str, Any]]:
        """Iterate over unfinished runs.

        Args:
            kind: ``flow_runs`` or ``task_runs``.
            **criteria: Further filters in the API's format.

        Yields:
            Runs as the API returns them.

        Raises:
            OSError: The server does not answer, or refuses.
        """
        filters = {"state": {"type": {"any_": UNFINISHED}}, **criteria}
        offset = 0
        while page := self.post(
            f"/{kind}/filter", {kind: filters, "limit": PAGE, "offset": offset}
        ):
            yield from page
            offset += PAGE

    def crash(self, kind: str, run_id: str) -> None:
        """Set a run's state to crashed, even against Prefect's rules.

        Args:
            kind: ``flow_runs`` or ``task_runs``.
            run_id: Id of the run.

        Raises:
            OSError: The server does not answer, or refuses.
        """
        state = {"type": "CRASHED", "name": "Crashed", "message": MESSAGE}
        self.post(f"/{kind}/{run_id}/set_state", {"state": state, "force": True})


def reap(server: Server, pool: str) -> list[str]:
    """Mark runs without a process as crashed, including their subflows and tasks.

    Args:
        server: Prefect's API.
        pool: Work pool whose runs have their process on this machine.

    Returns:
        Names of the runs that were marked.

    Raises:
        OSError: The server does not answer, or refuses.
    """
    # Read all runs first, because marking some would shift the pages.
    lost = [
        run for run in list(server.unfinished("flow_runs")) if _mine(run, pool) and not _alive(run)
    ]
    for run in lost:
        _crash_with_steps(server, run["id"])
    return [run["name"] for run in lost]


def _crash_with_steps(server: Server, run_id: str) -> None:
    inside = {"parent_flow_run_id": {"any_": [run_id]}}
    for child in list(server.unfinished("flow_runs", **inside)):
        _crash_with_steps(server, child["id"])
    for task in list(server.unfinished("task_runs", flow_run_id={"any_": [run_id]})):
        server.crash("task_runs", task["id"])
    server.crash("flow_runs", run_id)


def _mine(run: dict[str, Any], pool: str) -> bool:
    """Whether the run's process is, or was, on this machine; subflows belong to their parent."""
    if run["parent_task_run_id"]:
        return False
    return bool(run["work_pool_name"] == pool or _local_process(run))


def _local_process(run: dict[str, Any]) -> int | None:
    """The process id recorded by a worker on this machine or by ``weekahead run``."""
    noted = str(run["infrastructure_pid"] or "")
    return int(noted) if noted.isdecimal() else None


def _alive(run: dict[str, Any]) -> bool:
    since = datetime.fromisoformat(run["state"]["timestamp"])
    pid = _local_process(run)
    if pid is None:
        return datetime.now(UTC) - since < PENDING_LIMIT
    try:
        process = psutil.Process(pid)
        # A later process may have reused the id.
        started = datetime.fromisoformat(run["start_time"] or run["state"]["timestamp"])
        return bool(
            process.status() != psutil.STATUS_ZOMBIE
            and process.create_time() < started.timestamp() + SLACK_SECONDS
        )
    except psutil.NoSuchProcess:
        return False


def main(pool: str) -> None:
    """Check periodically until this process is terminated."""
    server = Server(os.environ["PREFECT_API_URL"], os.environ.get("PREFECT_API_AUTH_STRING"))
    while True:
        try:
            for name in reap(server, pool):
                sys.stderr.write(f"{datetime.now(UTC):%F %T} crashed: {name}\n")
        except (OSError, ValueError) as error:
            sys.stderr.write(f"{datetime.now(UTC):%F %T} Prefect does not answer: {error}\n")
        sys.stderr.flush()
        time.sleep(INTERVAL_SECONDS)


if __name__ == "__main__":
    main(sys.argv[1])
