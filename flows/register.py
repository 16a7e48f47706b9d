"""Puts the deployments on a Prefect server: ``python -m flows.register deploy/prefect.yaml``.

Creates the work pool, the concurrency limit for writers, the deployments (``prefect deploy --all``)
and the automations. Idempotent.
"""

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

from prefect import get_client
from prefect.automations import Automation
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate, WorkPoolCreate
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState, RunDeployment
from prefect.events.schemas.automations import EventTrigger, Posture
from prefect.exceptions import ObjectNotFound

from flows.alerts import STALE
from flows.writers import LIMIT
from lakehouse.settings import load_settings

# Three missed heartbeats, which are sent every thirty seconds.
SILENT_FOR = timedelta(seconds=90)
# Covers Friday night to the run after Tuesday's close, in case Monday is a holiday.
DAILY_WITHIN = timedelta(days=4)
ENDED = {f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Cancelled", "Crashed")}
HEARTBEAT = "prefect.flow-run.heartbeat"


def work_pool(client: SyncPrefectClient, name: str) -> None:
    """Create a process pool, unless a pool of this name exists.

    Args:
        client: The Prefect server.
        name: Name of the pool.
    """
    try:
        client.read_work_pool(name)
    except ObjectNotFound:
        client.create_work_pool(WorkPoolCreate(name=name, type="process"))


def writers_limit(client: SyncPrefectClient) -> None:
    """Create the limit that lets only one step at a time write to the lake and the warehouse."""
    try:
        client.read_global_concurrency_limit_by_name(LIMIT)
    except ObjectNotFound:
        client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=LIMIT, limit=1))


def automations(client: SyncPrefectClient) -> list[Automation]:
    """The server's automations: crash silent runs, and send alerts."""
    alert = client.read_deployment_by_name("alert/alert").id

    def tell(subject: str, details: str, **more: str) -> RunDeployment:
        templates = {"subject": subject, "details": details, **more}
        parameters = {
            name: {"__prefect_kind": "jinja", "template": text} for name, text in templates.items()
        }
        return RunDeployment(source="selected", deployment_id=alert, parameters=parameters)

    tagged = {
        "prefect.resource.role": "tag",
        "prefect.resource.id": "prefect.tag.weekahead",
    }
    return [
        Automation(
            name="weekahead: crash silent runs",
            description="A run without heartbeats has lost its process.",
            trigger=EventTrigger(
                after={HEARTBEAT},
                expect={HEARTBEAT, *ENDED},
                match={"prefect.resource.id": "prefect.flow-run.*"},
                for_each={"prefect.resource.id"},
                posture=Posture.Proactive,
                threshold=1,
                within=SILENT_FOR,
            ),
            actions=[
                ChangeFlowRunState(state=StateType.CRASHED, message="No heartbeat for 90 seconds.")
            ],
        ),
        Automation(
            name="weekahead: report failures",
            description="A run failed or crashed.",
            trigger=EventTrigger(
                expect={"prefect.flow-run.Failed", "prefect.flow-run.Crashed"},
                match={"prefect.resource.id": "prefect.flow-run.*"},
                match_related=tagged,
                posture=Posture.Reactive,
                threshold=1,
            ),
            actions=[
                tell(
                    "{{ flow.name }} {{ flow_run.state.name }}: {{ flow_run.name }}",
                    "{{ flow_run.state.message | default('', true) | truncate(2000) }}",
                    run="{{ flow_run.id }}",
                )
            ],
        ),
        Automation(
            name="weekahead: report stale quotes",
            description="After an ingest the newest quotes are still too old.",
            trigger=EventTrigger(
                expect={STALE},
                match={"prefect.resource.id": "weekahead.source.*"},
                posture=Posture.Reactive,
                threshold=1,
            ),
            actions=[
                tell(
                    "Quotes of {{ event.resource['prefect.resource.name'] }} are stale",
                    "There are none from the last days, although an ingest has just ended.",
                )
            ],
        ),
        Automation(
            name="weekahead: report missing daily runs",
            description="No daily run has completed for days: all data is stale.",
            trigger=EventTrigger(
                expect={"prefect.flow-run.Completed"},
                match={"prefect.resource.id": "prefect.flow-run.*"},
                match_related={
                    "prefect.resource.role": "tag",
                    "prefect.resource.id": "prefect.tag.daily",
                },
                posture=Posture.Proactive,
                threshold=1,
                within=DAILY_WITHIN,
            ),
            actions=[tell("No daily run has completed for 4 days", "See weekahead doctor.")],
        ),
    ]


def main(prefect_file: Path) -> None:
    """Create or update everything on the server at PREFECT_API_URL."""
    with get_client(sync_client=True) as client:
        work_pool(client, load_settings().prefect.work_pool)
        writers_limit(client)
        deploy = [
            *(sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"),
            f"--prefect-file={prefect_file}",
        ]
        subprocess.run(deploy, check=True)
        known = {found.name: found for found in client.read_automations()}
        for automation in automations(client):
            if before := known.get(automation.name):
                automation.id = before.id
                automation.update()
            else:
                automation.create()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
