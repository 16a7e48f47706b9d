"""Logins of other people's REST catalogs: a token server elsewhere, and signed requests."""

import json
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs
from urllib.request import Request, urlopen

import pytest
from pydantic import SecretStr

from catalog import duckdb as lake_in_duckdb
from catalog.connect import open_catalog
from catalog.errors import CatalogUnavailable
from catalog.settings import CatalogSettings, S3Settings
from deploy.local import running
from lakehouse.connections.clickhouse_client import connect
from lakehouse.platform import Platform
from tests.homes import settings_of

SCOPE = "PRINCIPAL_ROLE:reader"


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def token_server(stack: Platform) -> Iterator[tuple[str, list[str]]]:
    """An identity provider with one client and one scope, which gives out the catalog's tokens."""
    asked: list[str] = []

    class Tokens(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {name: values[0] for name, values in parse_qs(body).items()}
            client = f"{form.get('client_id')}:{form.get('client_secret')}"
            scheme, _, login = self.headers.get("Authorization", "").partition(" ")
            if scheme == "Basic":
                client = b64decode(login).decode()
            if client != "somebody:something" or form.get("scope") != SCOPE:
                self.send_error(401)
                return
            asked.append(form["scope"])
            s3 = stack.settings.s3
            known = {
                "grant_type": "client_credentials",
                "client_id": s3.reader_access_key,
                "client_secret": s3.reader_secret_key.get_secret_value(),
                "scope": "catalog",
            }
            data = "&".join(f"{name}={value}" for name, value in known.items()).encode()
            with urlopen(Request(stack.settings.catalog.token_uri, data)) as answer:
                found = answer.read()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(found)))
            self.end_headers()
            self.wfile.write(found)

        def log_message(self, *arguments: object) -> None:
            """Nothing on the console."""

    with serving(Tokens) as address:
        yield f"{address}/token", asked


def test_every_reader_asks_the_token_server_for_the_scope(
    stack: Platform, token_server: tuple[str, list[str]], tmp_path: Path
) -> None:
    address, asked = token_server
    catalog = CatalogSettings(
        uri=stack.settings.catalog.uri,
        oauth2_server_uri=address,
        scope=SCOPE,
        reader_credential=SecretStr("somebody:something"),
    )
    assert ("raw",) in open_catalog(catalog, stack.settings.s3, read_only=True).list_namespaces()
    by_pyiceberg = len(asked)
    assert by_pyiceberg

    with lake_in_duckdb.connect(catalog, stack.settings.s3, extension_dir=tmp_path) as connection:
        assert connection.execute("select count(*) from raw.quotes").fetchone() is not None
    by_duckdb = len(asked)
    assert by_duckdb > by_pyiceberg

    # The engine may connect to what the settings name, so this one has settings of its own.
    elsewhere = settings_of(tmp_path / "home", catalog=catalog, s3=stack.settings.s3)
    with running(elsewhere) as settings, connect(settings) as client:
        assert client.query("select count() from lake.`raw.quotes`").result_rows
    assert len(asked) > by_duckdb

    wrong = catalog.model_copy(update={"scope": "everything"})
    with pytest.raises(CatalogUnavailable, match="cannot be used"):
        open_catalog(wrong, stack.settings.s3, read_only=True)


def test_requests_are_signed_as_glue_wants_them() -> None:
    seen: list[str] = []

    class Glue(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers.get("Authorization", ""))
            found = {"namespaces": [["raw"]]} if "namespaces" in self.path else {"defaults": {}}
            body = json.dumps(found | {"overrides": {}}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            """Nothing on the console."""

    s3 = S3Settings(
        endpoint="https://s3.eu-central-1.amazonaws.com",
        access_key="AKIAWRITER",
        secret_key=SecretStr("secret"),
        region="eu-central-1",
    )
    with serving(Glue) as address:
        catalog = CatalogSettings(uri=f"{address}/iceberg", warehouse="123456789012", auth="sigv4")
        assert open_catalog(catalog, s3).list_namespaces() == [("raw",)]
    assert not catalog.engines_can_log_in
    assert len(seen) >= 2
    for header in seen:
        assert header.startswith("AWS4-HMAC-SHA256 Credential=AKIAWRITER/")
        assert "/eu-central-1/glue/aws4_request" in header
