"""A client of Prefect's API for Airflow."""

import json
import logging
from datetime import date
from functools import cached_property
from typing import Any

import httpx
from airflow.sdk import BaseHook
from tenacity import (
    Retrying,
    before_sleep_log,
    retry_if_exception,
    stop_after_delay,
    wait_random_exponential,
)

from weekahead_airflow.connection import PrefectConnection
from weekahead_airflow.errors import PrefectMissing, PrefectRefusal, PrefectUnreachable

# Long enough for a server that restarts or moves to another node.
PATIENCE_SECONDS = 180.0
BUSY = frozenset({429, 500, 502, 503, 504})
CANCEL = {
    "state": {"type": "CANCELLING", "message": "Cancelled by Airflow"},
    # Without force, Prefect's own rules keep runs that have ended unchanged.
    "force": False,
}


def may_pass(error: BaseException) -> bool:
    """Whether the same request may succeed later."""
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code in BUSY
    return isinstance(error, httpx.TransportError)


def checked(response: httpx.Response) -> httpx.Response:
    """Turn Prefect's error responses into exceptions that say what to do.

    Raises:
        PrefectMissing: The requested object does not exist.
        PrefectRefusal: A retry would get the same response.
        httpx.HTTPStatusError: Prefect is busy or broken; a retry may help.
    """
    if response.is_success:
        return response
    if response.status_code in BUSY:
        response.raise_for_status()
    told = response.text.strip()[:2000]
    where = f"{response.request.method} {response.request.url}"
    if response.status_code in (401, 403):
        raise PrefectRefusal(
            f"Prefect refuses the credentials of the connection ({where}: {response.status_code}). "
            "Set login and password (self-hosted) or an API key as the password (Prefect Cloud)."
        )
    error = PrefectMissing if response.status_code == 404 else PrefectRefusal
    raise error(f"Prefect refuses {where}: {response.status_code}: {told}")


class PrefectHook(BaseHook):
    """Prefect's API with the credentials of an Airflow connection.

    Args:
        conn_id: The Airflow connection.
        patience: Seconds for which to retry while the server is down or busy.
    """

    conn_name_attr = "conn_id"
    default_conn_name = "prefect_default"
    conn_type = "prefect"
    hook_name = "Prefect"

    def __init__(
        self, conn_id: str = default_conn_name, *, patience: float = PATIENCE_SECONDS
    ) -> None:
        super().__init__()
        self.conn_id = conn_id
        self.patience = patience

    @cached_property
    def connection(self) -> PrefectConnection:
        """Address and credentials."""
        return PrefectConnection.of(self.get_connection(self.conn_id))

    def get_conn(self) -> httpx.Client:
        """A client with address and credentials; close it after use."""
        return self.connection.client()

    def request(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request, with retries while Prefect is down or busy.

        Repeating is safe because runs are created with an idempotency key.

        Args:
            method: HTTP method.
            path: Path below the API's URL, starting with a slash.
            body: Sent as JSON; dates are sent in ISO format. None sends no body.

        Returns:
            The decoded response; None if it is empty.

        Raises:
            PrefectRefusal: Prefect answered with an error that a retry does not solve.
            PrefectUnreachable: Prefect stayed down or busy.
        """
        retrying = Retrying(
            stop=stop_after_delay(self.patience),
            wait=wait_random_exponential(multiplier=0.5, max=8.0),
            retry=retry_if_exception(may_pass),
            before_sleep=before_sleep_log(logging.getLogger(__name__), logging.WARNING),
            reraise=True,
        )
        content = None if body is None else json.dumps(body, default=_encode)
        headers = {} if body is None else {"Content-Type": "application/json"}
        try:
            with self.get_conn() as client:
                response = retrying(
                    lambda: checked(client.request(method, path, content=content, headers=headers))
                )
        except httpx.HTTPError as error:
            raise PrefectUnreachable(
                f"Prefect at {self.connection.api_url} did not answer {method} {path} within "
                f"{self.patience:.0f} s: {error!r}. Is it running, and is the address of the "
                f"connection '{self.conn_id}' right?"
            ) from error
        return response.json() if response.content else None

    def find_deployment(self, name: str) -> str:
        """The id of a deployment, by ``flow/deployment``.

        Raises:
            PrefectMissing: There is no such deployment.
            PrefectRefusal: The name is malformed.
            PrefectUnreachable: Prefect stayed down or busy.
        """
        flow, separator, deployment = name.partition("/")
        if not (flow and separator and deployment):
            raise PrefectRefusal(f"A deployment is named 'flow/deployment', not {name!r}.")
        try:
            return str(self.request("GET", f"/deployments/name/{flow}/{deployment}")["id"])
        except PrefectMissing:
            raise PrefectMissing(
                f"Prefect at {self.connection.api_url} has no deployment {name!r}. "
                "`prefect deployment ls` lists them."
            ) from None

    def create_run(self, deployment_id: str, request: dict[str, Any]) -> dict[str, Any]:
        """Create a flow run, or return the existing one with the same idempotency key.

        Args:
            deployment_id: Id of the deployment.
            request: Parameters, tags, labels, state and idempotency key, in the API's format.

        Returns:
            The run with its state, in the API's format.

        Raises:
            PrefectRefusal: Prefect refuses the parameters, or there is no such deployment.
            PrefectUnreachable: Prefect stayed down or busy.
        """
        run: dict[str, Any] = self.request(
            "POST", f"/deployments/{deployment_id}/create_flow_run", request
        )
        return run

    def read_run(self, flow_run_id: str) -> dict[str, Any]:
        """A flow run with its state."""
        run: dict[str, Any] = self.request("GET", f"/flow_runs/{flow_run_id}")
        return run

    def cancel_run(self, flow_run_id: str) -> None:
        """Ask Prefect to cancel a flow run; one that has ended stays as it is."""
        self.request("POST", f"/flow_runs/{flow_run_id}/set_state", CANCEL)

    def test_connection(self) -> tuple[bool, str]:
        """Request the number of deployments; called by the button *Test* in Airflow."""
        self.patience = 0.0
        try:
            count = self.request("POST", "/deployments/count", {})
        except (PrefectRefusal, PrefectUnreachable) as error:
            return False, str(error)
        except ValueError:
            return False, f"{self.connection.api_url} answers, but is not Prefect's API."
        return True, f"Prefect at {self.connection.api_url} has {count} deployments."


def _encode(value: Any) -> str:
    # Templates may render to dates; other types are sent as text.
    return value.isoformat() if isinstance(value, date) else str(value)
