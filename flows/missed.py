"""Runs missed while the machine slept: the newest one makes up for all of them."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from typing import ParamSpec, TypeVar, cast

from prefect import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterExpectedStartTime,
)
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from prefect.states import Cancelled

P = ParamSpec("P")
T = TypeVar("T")


def newest_only(function: Callable[P, T]) -> Callable[P, T]:
    """Cancel a scheduled run of this flow if a later run of the same schedule is also due.

    After an outage the server submits every missed run, though each would do the same work as the
    last one. Runs started by hand, and steps of other runs, always do their work.
    """

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        context = FlowRunContext.get()
        own = context.flow_run if context else None
        later = _later(own) if own and own.auto_scheduled else None
        if later is None:
            return function(*args, **kwargs)
        message = f"Missed; the run that was due at {later:%Y-%m-%d %H:%M} UTC makes up for it."
        # Prefect ends the run in the returned state; no caller sees the value.
        return cast(T, Cancelled(message=message))

    return run


def _later(own: FlowRun) -> datetime | None:
    """When the newest due run, later than this one and equivalent, was due; None without one."""
    if own.deployment_id is None or own.expected_start_time is None:
        return None
    with get_client(sync_client=True) as client:
        due = client.read_flow_runs(
            flow_run_filter=FlowRunFilter(
                deployment_id=FlowRunFilterDeploymentId(any_=[own.deployment_id]),
                expected_start_time=FlowRunFilterExpectedStartTime(
                    after_=own.expected_start_time, before_=datetime.now(UTC)
                ),
            )
        )
    later = [
        run.expected_start_time
        for run in due
        if run.auto_scheduled and run.id != own.id and run.parameters == own.parameters
    ]
    return max((time for time in later if time and time > own.expected_start_time), default=None)
