"""Clients of the services' REST APIs for tests."""

from base64 import b64encode
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import httpx

SECONDS = 30


def call_prefect(url: str, login: tuple[str, str], method: str, path: str, body: Any = None) -> Any:
    """Call Prefect's API; ``url`` ends with ``/api``."""
    answer = httpx.request(method, f"{url}{path}", json=body, auth=login, timeout=SECONDS)
    answer.raise_for_status()
    return answer.json()


def call_airflow(url: str, login: tuple[str, str], method: str, path: str, body: Any = None) -> Any:
    """Call Airflow's API with a new token."""
    account = dict(zip(("username", "password"), login, strict=True))
    token = httpx.post(f"{url}/auth/token", json=account, timeout=SECONDS)
    token.raise_for_status()
    answer = httpx.request(
        method,
        f"{url}/api/v2{path}",
        json=body,
        headers={"Authorization": f"Bearer {token.json()['access_token']}"},
        timeout=SECONDS,
    )
    assert answer.is_success, answer.text
    return answer.json() if answer.content else None


def as_person(
    url: str, name: str, password: str, body: bytes | None = None, **headers: str
) -> tuple[int, str]:
    """Status and answer of a service to a person's login."""
    login = b64encode(f"{name}:{password}".encode()).decode()
    request = Request(url, data=body, headers={"Authorization": f"Basic {login}", **headers})
    try:
        with urlopen(request, timeout=SECONDS) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as refused:
        return refused.code, refused.read().decode()
