"""The operator that runs a Prefect deployment as an Airflow task."""

import hashlib
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal

from airflow.sdk import BaseOperator, BaseOperatorLink

from weekahead_airflow import states
from weekahead_airflow.errors import PrefectRunCancelled, PrefectRunFailed, PrefectUnreachable
from weekahead_airflow.hook import PrefectHook
from weekahead_airflow.trigger import PrefectRunTrigger

TryPolicy = Literal["rejoin", "restart"]
# The triggerer enforces the deadline; if it is down, Airflow's scheduler does so this much later.
TRIGGERER_GRACE = timedelta(minutes=5)


class PrefectRunLink(BaseOperatorLink):
    """The button that opens the run in Prefect."""

    name = "Prefect run"
    xcom_key = "prefect_run_url"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """The address of the run's page.

        Args:
            operator: The operator of the task.
            ti_key: The task instance when called in a worker, as Airflow does whenever the task
                stops or pauses; otherwise a key.

        Returns:
            The address; empty if it is not known.
        """
        if not hasattr(ti_key, "xcom_pull"):
            return ""
        link = ti_key.xcom_pull(
            task_ids=operator.task_id, key=self.xcom_key, map_indexes=ti_key.map_index
        )
        return link or ""


class PrefectDeploymentOperator(BaseOperator):
    """Runs a Prefect deployment and waits for its flow run.

    Only COMPLETED is success. Any other final state fails the task with Prefect's message and a
    link to the run. A run that was cancelled or deleted in Prefect is not retried.

    The run's idempotency key consists of the DAG run, the task, the map index and how often the
    task was cleared. So with the try policy ``rejoin`` a retry finds the run of the previous try:
    if it is still running it is followed, if it has completed it counts, and only if it failed,
    crashed or was cancelled a new run is started. With ``restart`` each try starts its own run.
    Clearing a task always starts a new run.

    ``execution_timeout`` limits the wait, also while deferred; when it is exceeded, the Prefect run
    is cancelled.

    Args:
        deployment: The deployment as ``flow/deployment``. Templated.
        parameters: Parameters of the flow run. Templated; those that render to None keep the
            deployment's default.
        tags: Tags of the flow run in addition to ``airflow``. Templated.
        conn_id: The Airflow connection of Prefect.
        try_policy: Whether a retry looks for the run of the previous try.
        deferrable: Wait in the triggerer, so that no worker is occupied.
        poll_interval: Seconds between two polls of the run.
        outage_tolerance: How long Prefect may be down while a run is followed.
    """

    template_fields: Sequence[str] = ("deployment", "parameters", "tags")
    template_fields_renderers = {"parameters": "json"}  # noqa: RUF012
    operator_extra_links = (PrefectRunLink(),)
    ui_color = "#dbe7ff"

    def __init__(
        self,
        *,
        deployment: str,
        parameters: Mapping[str, Any] | None = None,
        tags: Sequence[str] = (),
        conn_id: str = PrefectHook.default_conn_name,
        try_policy: TryPolicy = "rejoin",
        deferrable: bool = True,
        poll_interval: float = 5.0,
        outage_tolerance: timedelta = timedelta(minutes=10),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.deployment = deployment
        self.parameters = dict(parameters or {})
        self.tags = list(tags)
        self.conn_id = conn_id
        self.try_policy = try_policy
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.outage_tolerance = outage_tolerance
        self._flow_run_id: str | None = None

    def execute(self, context: Any) -> dict[str, str] | None:
        """Start or find the run, then wait for it."""
        ti = context["ti"]
        hook = PrefectHook(self.conn_id)
        run = self._start(hook, ti)
        self._flow_run_id = run["id"]
        url = hook.connection.run_url(run["id"])
        self.log.info("Prefect run %s: %s", run["name"], url)
        # Before deferring, so that the button works while the task waits.
        ti.xcom_push(key=PrefectRunLink.xcom_key, value=url)
        limit = self.execution_timeout
        trigger = PrefectRunTrigger(
            flow_run_id=run["id"],
            conn_id=self.conn_id,
            poll_interval=self.poll_interval,
            deadline=time.time() + limit.total_seconds() if limit else None,
            outage_tolerance=self.outage_tolerance.total_seconds(),
        )
        if self.deferrable:
            self.defer(
                trigger=trigger,
                method_name="execute_complete",
                timeout=limit + TRIGGERER_GRACE if limit else None,
            )
        return self._wait(context, hook, run)

    def execute_complete(self, context: Any, event: dict[str, str]) -> dict[str, str]:
        """Finish the task with the trigger's result; Airflow calls this after deferral.

        Args:
            context: The task's context.
            event: Run id, final state and message from the trigger.

        Returns:
            Run id, state and address of a completed run.

        Raises:
            PrefectRunFailed: The run failed, crashed, or exceeded its time limit.
            PrefectRunCancelled: The run was cancelled or deleted, or Prefect refuses requests.
            PrefectUnreachable: Prefect stayed down for too long.
        """
        return self._judge(context, PrefectHook(self.conn_id), event)

    def on_kill(self) -> None:
        """Cancel the run, because the worker is stopping or ``execution_timeout`` has passed."""
        if self._flow_run_id:
            self.log.info("Cancelling the Prefect run %s.", self._flow_run_id)
            # A worker that is being stopped has little time left.
            PrefectHook(self.conn_id, patience=20.0).cancel_run(self._flow_run_id)

    def _start(self, hook: PrefectHook, ti: Any) -> dict[str, Any]:
        deployment_id = hook.find_deployment(self.deployment)
        request = {
            "parameters": {k: v for k, v in self.parameters.items() if v is not None},
            "tags": ["airflow", *self.tags],
            "labels": {
                "airflow.dag_id": ti.dag_id,
                "airflow.run_id": ti.run_id,
                "airflow.task_id": ti.task_id,
                "airflow.map_index": ti.map_index,
                "airflow.try_number": ti.try_number,
            },
            "state": {"type": "SCHEDULED", "message": f"By Airflow: {ti.dag_id}.{ti.task_id}"},
        }
        # Airflow adds the retries to max_tries when a task is cleared.
        first_try = max(ti.max_tries - (self.retries or 0) + 1, 1)
        tries = range(first_try, ti.try_number + 1) or range(ti.try_number, ti.try_number + 1)
        if self.try_policy == "restart":
            tries = tries[-1:]
        for number in tries:
            run = hook.create_run(
                deployment_id, request | {"idempotency_key": _key(ti, first_try, number)}
            )
            if states.state_of(run) not in states.LOST:
                break
            self.log.info("Prefect run %s: %s", run["name"], states.label_of(run))
        return run

    def _wait(self, context: Any, hook: PrefectHook, run: dict[str, Any]) -> dict[str, str]:
        hook.patience = self.outage_tolerance.total_seconds()
        history = states.History()
        while True:
            run = hook.read_run(run["id"])
            if not history.is_old(run):
                listed = hook.request("GET", states.History.path(run["id"]))
                for line in history.news(run, listed):
                    self.log.info("%s", line)
            if states.state_of(run) in states.TERMINAL:
                event = {
                    "flow_run_id": run["id"],
                    "state": history.outcome(run),
                    "message": states.message_of(run),
                }
                return self._judge(context, hook, event)
            time.sleep(self.poll_interval)

    def _judge(self, context: Any, hook: PrefectHook, event: dict[str, str]) -> dict[str, str]:
        run_id, state = event["flow_run_id"], event["state"]
        url = hook.connection.run_url(run_id)
        self.log.info("Prefect run %s: %s", run_id, state)
        if state == states.COMPLETED:
            result = {"flow_run_id": run_id, "state": state, "url": url}
            for asset in self.outlets:
                # Links the asset's event to the run that produced it.
                context["outlet_events"][asset].extra = result
            return result
        told = f"The Prefect run is {state}: {event.get('message') or 'no message'}. See {url}"
        if state in ("CANCELLED", states.MISSING, states.REFUSED):
            raise PrefectRunCancelled(told)
        if state == states.UNREACHABLE:
            raise PrefectUnreachable(told)
        raise PrefectRunFailed(told)


def _key(ti: Any, first_try: int, number: int) -> str:
    parts = (ti.dag_id, ti.run_id, ti.task_id, ti.map_index, first_try, number)
    # Hashed, because names may exceed Prefect's column and contain any character.
    return "airflow-" + hashlib.sha256(repr(parts).encode()).hexdigest()[:40]
