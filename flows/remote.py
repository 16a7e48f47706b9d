"""Starts a deployment and follows it as if it ran here."""

import logging
import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterKey,
    FlowRunFilter,
    FlowRunFilterParentFlowRunId,
    LogFilter,
    LogFilterFlowRunId,
)
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import LogSort
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelling

from flows.artifacts import RESULT, from_json
from lakehouse.errors import ServiceError
from lakehouse.results import Result

log = logging.getLogger("weekahead")
POLL_SECONDS = 1.0
# Prefect sends log lines every two seconds.
LAST_LINES_SECONDS = 4.0
CANCEL_SECONDS = 60.0
LOG_PAGE = 200
# Prefect logs it for each of the hundred tasks of a build.
TASK_COMPLETED = "Finished in state Completed()"


@dataclass(frozen=True)
class RemoteRun:
    """The outcome of a remote run.

    Attributes:
        run_id: Id of the flow run.
        name: Name of the flow run.
        state: Name of the final state.
        message: Message of the final state.
        url: The run's page.
        result: The result, if the run completed.
    """

    run_id: str
    name: str
    state: str
    message: str
    url: str
    result: Result | None = None

    @property
    def exit_code(self) -> int:
        """The exit code of the remote use case; 1 if the run did not complete."""
        if self.state != "Completed":
            return 1
        return self.result.exit_code if self.result else 0

    def to_dict(self) -> dict[str, Any]:
        """The fields as a dictionary, for JSON."""
        data = self.result.data if self.result else None
        return {**vars(self), "exit_code": self.exit_code, "result": data}


def follow(flow: str, parameters: dict[str, Any]) -> RemoteRun:
    """Run a deployment and wait for its end; an interrupt cancels it.

    Args:
        flow: Name of the flow, which is also the deployment's.
        parameters: Parameters of the flow; others keep the deployment's defaults.

    Returns:
        The final state, and the result if the run left one.

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
        log.info(f"{flow}: run {run.name}, {page}")
        try:
            run = _until_final(client, run)
        except (KeyboardInterrupt, SystemExit):
            _cancel(client, run.id)
            raise
        kept = client.read_artifacts(
            artifact_filter=ArtifactFilter(
                flow_run_id=ArtifactFilterFlowRunId(any_=[run.id]),
                key=ArtifactFilterKey(any_=[f"{flow}-{RESULT}"]),
            )
        )
    state = run.state
    return RemoteRun(
        str(run.id),
        run.name,
        state.name or "" if state else "",
        state.message or "" if state else "",
        page,
        from_json(str(kept[0].data)) if kept else None,
    )


def _until_final(client: SyncPrefectClient, run: FlowRun) -> FlowRun:
    shown = ""
    read = 0
    while True:
        run = client.read_flow_run(run.id)
        state = run.state
        read += _show_logs(client, run.id, read)
        if state and state.name != shown:
            shown = state.name or ""
            log.info(f"state: {shown}{f', {state.message}' if state.message else ''}")
        if state and state.is_final():
            break
        time.sleep(POLL_SECONDS)
    # The process sends its last log lines after the final state.
    deadline = time.monotonic() + LAST_LINES_SECONDS
    while time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        read += _show_logs(client, run.id, read)
    return run


def _show_logs(client: SyncPrefectClient, run_id: UUID, read: int) -> int:
    """Show new log lines of the run and its stages; returns how many."""
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
    for line in logs:
        if line.message != TASK_COMPLETED:
            log.info(line.message)
    return len(logs)


def _cancel(client: SyncPrefectClient, run_id: UUID) -> None:
    log.info("interrupted: cancelling the run")
    client.set_flow_run_state(run_id, Cancelling())
    deadline = time.monotonic() + CANCEL_SECONDS
    while time.monotonic() < deadline:
        state = client.read_flow_run(run_id).state
        if state and state.is_final():
            log.info(f"state: {state.name}")
            return
        time.sleep(POLL_SECONDS)
    log.info("it has not ended yet; its page shows when it does")
