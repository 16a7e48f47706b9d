"""Mark runs as crashed whose process is gone: ``python -m deploy.local.reaper``.

When a worker and the process of a flow are killed, nobody tells Prefect's server: the run would
stay "Running" for good and keep its place in the queue. The local stack's runs have their
process on this machine, so looking is exact and quick. Runs on other machines, in other
work pools, are found by their missing heartbeats instead (see ``flows.register``).
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

# Longer than a worker takes from claiming a run to naming its process, on a busy machine.
PENDING_LIMIT = timedelta(seconds=120)
INTERVAL_SECONDS = 10.0
UNFINISHED = ["RUNNING", "PENDING", "CANCELLING"]
# A clock's step, and the time between a process's start and the run's.
SLACK_SECONDS = 60.0
MESSAGE = "Its process ended without a word: killed, out of memory, or the machine went down."
PAGE = 200
# Its database takes one writer at a time: while that one is slow, the server answers 503.
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
    """Prefect's API, as far as it is needed here."""

    def __init__(self, url: str, auth: str | None) -> None:
        self._url = url.rstrip("/")
        self._pool = PoolManager(headers=make_headers(basic_auth=auth), retries=BUSY, timeout=30.0)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Call the API; a server that is busy is asked again.

        Raises:
            OSError: It does not answer, or refuses.
        """
        try:
            answer = self._pool.request("POST", f"{self._url}{path}", json=body)
        except HTTPError as error:
            raise OSError(f"{self._url} does not answer: {error}") from error
        if answer.status >= 400:
            raise OSError(f"{self._url}{path} answers {answer.status}: {answer.data[:500]!r}")
        return json.loads(answer.data or b"null")

    def unfinished(self, kind: str, **criteria: Any) -> Iterator[dict[str, Any]]:
        """Unfinished runs of a kind (``flow_runs``, ``task_runs``) that meet the criteria."""
        filters = {"state": {"type": {"any_": UNFINISHED}}, **criteria}
        offset = 0
        while page := self.post(
            f"/{kind}/filter", {kind: filters, "limit": PAGE, "offset": offset}
        ):
            yield from page
            offset += PAGE

    def crash(self, kind: str, run_id: str) -> None:
        """Set the final state."""
        state = {"type": "CRASHED", "name": "Crashed", "message": MESSAGE}
        self.post(f"/{kind}/{run_id}/set_state", {"state": state, "force": True})


def reap(server: Server, pool: str) -> list[str]:
    """Mark what has no process any more, with the steps inside; the names of these runs."""
    # All are read first: marking some would shift the pages.
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
    """Whether the run's process is, or was, on this machine; steps belong to their run."""
    if run["parent_task_run_id"]:
        return False
    return bool(run["work_pool_name"] == pool or _local_process(run))


def _local_process(run: dict[str, Any]) -> int | None:
    """The number that a worker of this machine, or ``weekahead run``, has noted."""
    noted = str(run["infrastructure_pid"] or "")
    return int(noted) if noted.isdecimal() else None


def _alive(run: dict[str, Any]) -> bool:
    since = datetime.fromisoformat(run["state"]["timestamp"])
    pid = _local_process(run)
    if pid is None:
        return datetime.now(UTC) - since < PENDING_LIMIT
    try:
        process = psutil.Process(pid)
        # A later process may have got the same number.
        started = datetime.fromisoformat(run["start_time"] or run["state"]["timestamp"])
        return bool(
            process.status() != psutil.STATUS_ZOMBIE
            and process.create_time() < started.timestamp() + SLACK_SECONDS
        )
    except psutil.NoSuchProcess:
        return False


def main(pool: str) -> None:
    """Look again and again, until this process is ended."""
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
