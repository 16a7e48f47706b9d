"""Clients of Prefect's and Airflow's REST APIs for tests."""

from typing import Any

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
