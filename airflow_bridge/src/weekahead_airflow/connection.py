"""Converts an Airflow connection to address and credentials of Prefect's API."""

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx

TIMEOUT_SECONDS = 20.0
# Prefect Cloud serves its pages from another host than its API.
_CLOUD_API = re.compile(r"https://api\.prefect\.cloud/api/accounts/([^/]+)/workspaces/([^/]+)")
_CLOUD_UI = r"https://app.prefect.cloud/account/\1/workspace/\2"

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class PrefectConnection:
    """How to reach one Prefect API.

    Attributes:
        api_url: Address of the API, up to and including ``/api`` or the workspace.
        ui_url: Address of the user interface.
        auth: User and password of a self-hosted server.
        headers: The API key of Prefect Cloud, as a header.
        verify: Whether to check TLS certificates, or the path of trusted authorities.
    """

    api_url: str
    ui_url: str
    auth: tuple[str, str] | None = field(default=None, repr=False)
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    verify: bool | str = True

    @classmethod
    def of(cls, connection: Any) -> "PrefectConnection":
        """Read an Airflow connection.

        The host may be a full address (``https://prefect.example.com/api``, a workspace of Prefect
        Cloud) or a bare name with ``port`` and ``schema``. With a login, login and password are
        used for HTTP basic auth; a password alone is an API key. Extras: ``ui_url``, ``verify``.
        """
        host = connection.host or "127.0.0.1"
        if "://" not in host:
            host = f"{connection.schema or 'http'}://{host}"
        url = urlsplit(host.rstrip("/"))
        if connection.port and not url.port and connection.port != _PORTS.get(url.scheme):
            url = url._replace(netloc=f"{url.netloc}:{connection.port}")
        api_url = url.geturl() if url.path else f"{url.geturl()}/api"
        extra = connection.extra_dejson
        ui_url = extra.get("ui_url") or _CLOUD_API.sub(_CLOUD_UI, api_url).removesuffix("/api")
        basic = bool(connection.login)
        return cls(
            api_url=api_url,
            ui_url=ui_url.rstrip("/"),
            auth=(connection.login, connection.password or "") if basic else None,
            headers={"Authorization": f"Bearer {connection.password}"}
            if connection.password and not basic
            else {},
            verify=extra.get("verify", True),
        )

    def run_url(self, flow_run_id: str) -> str:
        """The page of a flow run."""
        return f"{self.ui_url}/runs/flow-run/{flow_run_id}"

    def client(self) -> httpx.Client:
        """A client for code that may block."""
        return httpx.Client(**self._options())

    def async_client(self) -> httpx.AsyncClient:
        """A client for the triggerer."""
        return httpx.AsyncClient(**self._options())

    def _options(self) -> dict[str, Any]:
        return {
            "base_url": self.api_url,
            "auth": self.auth,
            "headers": self.headers,
            # Loading the certificates takes 0.2 s, which would block the triggerer.
            "verify": self.verify if self.api_url.startswith("https:") else False,
            "timeout": TIMEOUT_SECONDS,
        }
