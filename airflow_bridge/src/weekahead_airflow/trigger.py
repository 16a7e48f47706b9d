"""Follows a flow run in Airflow's triggerer, without occupying a worker."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
from airflow.triggers.base import BaseTrigger, TriggerEvent

from weekahead_airflow import states
from weekahead_airflow.connection import PrefectConnection
from weekahead_airflow.errors import PrefectMissing, PrefectRefusal
from weekahead_airflow.hook import CANCEL, PrefectHook, checked, may_pass

# Prefect answers a cancellation within milliseconds, or within seconds if it is busy.
CANCEL_ATTEMPTS = 8
# Airflow 3.3 registers a deferral up to ``[workers] min_heartbeat_interval`` (5 s) plus a scheduler
# loop later. It fails a task that resumes before that (apache/airflow#66374, #72716).
SETTLE_SECONDS = 10.0


class PrefectRunTrigger(BaseTrigger):
    """Fires once: when a flow run has ended, is overdue, or can no longer be followed.

    Args:
        flow_run_id: The run.
        conn_id: The Airflow connection.
        poll_interval: Seconds between two polls.
        deadline: When to cancel the run, in seconds since the epoch. Airflow does not enforce
            ``execution_timeout`` while a task is deferred, so the trigger does.
        outage_tolerance: Seconds for which Prefect may be down.
    """

    def __init__(
        self,
        *,
        flow_run_id: str,
        conn_id: str,
        poll_interval: float,
        deadline: float | None,
        outage_tolerance: float,
    ) -> None:
        super().__init__()
        self.flow_run_id = flow_run_id
        self.conn_id = conn_id
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.outage_tolerance = outage_tolerance

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class and arguments with which the triggerer recreates this trigger."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "flow_run_id": self.flow_run_id,
                "conn_id": self.conn_id,
                "poll_interval": self.poll_interval,
                "deadline": self.deadline,
                "outage_tolerance": self.outage_tolerance,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll the run until it has an outcome, and Airflow has registered the deferral."""
        settled = time.monotonic() + SETTLE_SECONDS
        async with (await self._connection()).async_client() as client:
            outcome = await self._outcome(client)
        await asyncio.sleep(max(0.0, settled - time.monotonic()))
        yield TriggerEvent(outcome)

    async def on_kill(self) -> None:
        """Cancel the run when someone ends the deferred task (Airflow 3.3 and later)."""
        async with (await self._connection()).async_client() as client:
            await self._cancel(client)

    async def _connection(self) -> PrefectConnection:
        return PrefectConnection.of(await PrefectHook.aget_connection(self.conn_id))

    async def _outcome(self, client: httpx.AsyncClient) -> dict[str, str]:
        history = states.History()
        down_since: float | None = None
        while True:
            try:
                run = await self._get(client, f"/flow_runs/{self.flow_run_id}")
                if not history.is_old(run):
                    listed = await self._get(client, states.History.path(self.flow_run_id))
                    for line in history.news(run, listed):
                        self.log.info("%s", line)
            except PrefectMissing:
                return self._event(states.MISSING, "The run was deleted in Prefect")
            except PrefectRefusal as error:
                return self._event(states.REFUSED, str(error))
            except (httpx.HTTPError, ValueError) as error:
                if not may_pass(error):
                    return self._event(states.REFUSED, repr(error))
                if down_since is None:
                    down_since = time.time()
                    self.log.warning("Prefect does not answer (%r); asking again.", error)
                if time.time() - down_since > self.outage_tolerance:
                    return self._event(states.UNREACHABLE, repr(error))
            else:
                if down_since is not None:
                    self.log.info("Prefect is back after %.0f s.", time.time() - down_since)
                    down_since = None
                if states.state_of(run) in states.TERMINAL:
                    return self._event(history.outcome(run), states.message_of(run))
            if self.deadline is not None and time.time() >= self.deadline:
                return await self._overdue(client)
            await asyncio.sleep(self.poll_interval)

    async def _get(self, client: httpx.AsyncClient, path: str) -> Any:
        return checked(await client.get(path)).json()

    async def _overdue(self, client: httpx.AsyncClient) -> dict[str, str]:
        self.log.error("The time limit has passed; cancelling the Prefect run.")
        if not await self._cancel(client):
            return self._event(states.TIMED_OUT, "Overdue, and Prefect could not cancel the run")
        return self._event(states.TIMED_OUT, "Cancelled by Airflow after its time limit")

    async def _cancel(self, client: httpx.AsyncClient) -> bool:
        for attempt in range(CANCEL_ATTEMPTS):
            try:
                path = f"/flow_runs/{self.flow_run_id}/set_state"
                checked(await client.post(path, json=CANCEL))
            except (httpx.HTTPError, PrefectRefusal) as error:
                self.log.warning("Cancelling %s: %r", self.flow_run_id, error)
                if not may_pass(error):
                    return False
                await asyncio.sleep(min(0.5 * 2**attempt, 5.0))
            else:
                self.log.info("Asked Prefect to cancel the run %s.", self.flow_run_id)
                return True
        return False

    def _event(self, state: str, message: str) -> dict[str, str]:
        # Include the id, because dag.test() passes on nothing but the event.
        return {"flow_run_id": self.flow_run_id, "state": state, "message": message}
