"""Superset's REST interface, with a session as a browser has one."""

import json
from http.cookiejar import CookieJar
from typing import Any
from urllib.request import HTTPCookieProcessor, Request, build_opener

# Generous, because tests share their machine; the figures are in docs/dashboards.md.
SECONDS = 120


class Api:
    """Logged in, as the administrator unless another account is given."""

    def __init__(self, url: str, password: str, user: str = "admin") -> None:
        self.url = url
        self.opener = build_opener(HTTPCookieProcessor(CookieJar()))
        self.headers = {"Content-Type": "application/json", "Referer": url}
        login = {"username": user, "password": password, "provider": "db", "refresh": False}
        token = self.call("POST", "security/login", login)["access_token"]
        self.headers["Authorization"] = f"Bearer {token}"
        self.headers["X-CSRFToken"] = self.call("GET", "security/csrf_token/")["result"]

    def call(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = Request(f"{self.url}/api/v1/{path}", data, self.headers, method=method)
        with self.opener.open(request, timeout=SECONDS) as answer:
            return json.load(answer)
