"""Start a deployment and follow it, as if it ran here."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterParentFlowRunId,
    LogFilter,
    LogFilterFlowRunId,
)
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import LogSort
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelling

from lakehouse.errors import ServiceError

Progress = Callable[[str], None]
POLL_SECONDS = 1.0
# Prefect sends log lines every two seconds.
LAST_LINES_SECONDS = 4.0
CANCEL_SECONDS = 60.0
LOG_PAGE = 200


@dataclass(frozen=True)
class RemoteRun:
    """How a remote run ended.

    Attributes:
        run_id: Its id.
        name: Its name.
        state: Name of the final state.
        message: What the state says.
        url: Its page.
    """

    run_id: str
    name: str
    state: str
    message: str
    url: str

    @property
    def exit_code(self) -> int:
        """0 when it completed, 1 otherwise."""
        return 0 if self.state == "Completed" else 1

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def follow(flow: str, parameters: dict[str, Any], progress: Progress) -> RemoteRun:
    """Run a deployment with these parameters and wait for its end; an interrupt cancels it.

    Raises:
        ServiceError: There is no such deployment.
    """
    with get_client(sync_client=True) as client:
        try:
            deployment = client.read_deployment_by_name(f"{flow}/{flow}")
        except ObjectNotFound as error:
            raise ServiceError(
                f"The Prefect server has no deployment {flow}/{flow}. Register the deployments: "
                "`weekahead up`, or `prefect deploy --all` (docs/prefect.md)."
            ) from error
        run = client.create_flow_run_from_deployment(deployment.id, parameters=parameters)
        page = f"{str(client.api_url).rstrip('/').removesuffix('/api')}/runs/flow-run/{run.id}"
        progress(f"{flow}: run {run.name}, {page}")
        try:
            run = _until_final(client, run, progress)
        except (KeyboardInterrupt, SystemExit):
            _cancel(client, run.id, progress)
            raise
    state = run.state
    return RemoteRun(
        str(run.id),
        run.name,
        state.name or "" if state else "",
        state.message or "" if state else "",
        page,
    )


def _until_final(client: SyncPrefectClient, run: FlowRun, progress: Progress) -> FlowRun:
    shown = ""
    read = 0
    while True:
        run = client.read_flow_run(run.id)
        state = run.state
        read += _show_logs(client, run.id, read, progress)
        if state and state.name != shown:
            shown = state.name or ""
            progress(f"state: {shown}{f', {state.message}' if state.message else ''}")
        if state and state.is_final():
            break
        time.sleep(POLL_SECONDS)
    # A process sends its last lines after the state, at the latest when it ends.
    deadline = time.monotonic() + LAST_LINES_SECONDS
    while time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        read += _show_logs(client, run.id, read, progress)
    return run


def _show_logs(client: SyncPrefectClient, run_id: UUID, read: int, progress: Progress) -> int:
    """Show lines that are new, of the run and of the stages inside; their number."""
    inside = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[run_id])
        )
    )
    ids = [run_id, *(child.id for child in inside)]
    logs = client.read_logs(
        log_filter=LogFilter(flow_run_id=LogFilterFlowRunId(any_=ids)),
        sort=LogSort.TIMESTAMP_ASC,
        offset=read,
        limit=LOG_PAGE,
    )
    for log in logs:
        progress(log.message)
    return len(logs)


def _cancel(client: SyncPrefectClient, run_id: UUID, progress: Progress) -> None:
    progress("interrupted: cancelling the run")
    client.set_flow_run_state(run_id, Cancelling())
    deadline = time.monotonic() + CANCEL_SECONDS
    while time.monotonic() < deadline:
        state = client.read_flow_run(run_id).state
        if state and state.is_final():
            progress(f"state: {state.name}")
            return
        time.sleep(POLL_SECONDS)
    progress("it has not ended yet; its page shows when it does")
