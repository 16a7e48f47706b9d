"""Alerts that need attention: in Prefect, in a file, and through a webhook if one is set."""

import json
import logging
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.events import emit_event
from prefect.utilities.urls import url_for
from pydantic import Field
from pyiceberg.catalog import Catalog

from lakehouse.home import open_home
from lakehouse.landing.freshness import is_stale
from lakehouse.settings import load_settings

STALE = "weekahead.quotes.stale"
TIMEOUT_SECONDS = 10
log = logging.getLogger("weekahead")


@flow(name="alert", description="Send an alert; automations start it.")
def alert(
    subject: Annotated[str, Field(description="One line.", max_length=500)],
    details: Annotated[str, Field(description="What is known.", max_length=5000)] = "",
    run: Annotated[UUID | None, Field(description="Id of the run that it is about.")] = None,
) -> None:
    """Write an alert to the log, the artifact ``alert``, logs/alerts.log and the webhook.

    Args:
        subject: One line.
        details: What is known.
        run: Id of the run that the alert is about; a link to its page is added to the details.
    """
    settings = load_settings()
    if run:
        # The server's templates cannot render links in parameters.
        details = f"{details}\n{url_for('flow-run', obj_id=run)}".strip()
    log.error("%s %s", subject, details)
    create_markdown_artifact(f"**{subject}**\n\n{details}", key="alert", description=subject)
    entry = {"at": datetime.now(UTC).isoformat(), "subject": subject, "details": details}
    path = open_home(settings.home).logs / "alerts.log"
    with path.open("a") as file:
        path.chmod(0o600)
        file.write(json.dumps(entry) + "\n")
    if settings.prefect.webhook_url:
        import httpx

        answer = httpx.post(
            settings.prefect.webhook_url.get_secret_value(),
            json={"text": f"{subject}\n{details}"},
            timeout=TIMEOUT_SECONDS,
        )
        if answer.is_error:
            # The address is a secret, and the client's own error would show it.
            log.error("The webhook refused the alert with status %s", answer.status_code)


def report_stale(lake: Catalog, source: str) -> None:
    """Emit an event if newer quotes of a source should exist by now.

    Args:
        lake: The catalog.
        source: Quote source.

    Raises:
        CatalogUnavailable: The catalog does not answer.
    """
    if is_stale(lake, source):
        emit_event(
            STALE,
            resource={
                "prefect.resource.id": f"weekahead.source.{source}",
                "prefect.resource.name": source,
            },
        )
