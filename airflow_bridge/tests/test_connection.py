from types import SimpleNamespace

import pytest
from weekahead_airflow.connection import PrefectConnection


def connection(**given):
    empty = {"host": None, "schema": None, "port": None, "login": None, "password": None}
    return PrefectConnection.of(SimpleNamespace(**(empty | {"extra_dejson": {}} | given)))


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({}, "http://127.0.0.1/api"),
        ({"host": "prefect.lan", "port": 4200}, "http://prefect.lan:4200/api"),
        ({"host": "prefect.lan", "schema": "https"}, "https://prefect.lan/api"),
        ({"host": "http://127.0.0.1:4200/api"}, "http://127.0.0.1:4200/api"),
        ({"host": "http://127.0.0.1:4200/api/"}, "http://127.0.0.1:4200/api"),
        ({"host": "https://prefect.lan", "port": 8443}, "https://prefect.lan:8443/api"),
        ({"host": "http://127.0.0.1/api", "port": 4200}, "http://127.0.0.1:4200/api"),
        ({"host": "https://lan/prefect/api", "port": 443}, "https://lan/prefect/api"),
        ({"host": "https://lan/prefect/api"}, "https://lan/prefect/api"),
    ],
)
def test_address(given, url):
    assert connection(**given).api_url == url


def test_pages_of_a_server_are_beside_its_api():
    server = connection(host="http://127.0.0.1:4200/api")
    assert server.run_url("1") == "http://127.0.0.1:4200/runs/flow-run/1"
    elsewhere = connection(host="http://prefect:4200", extra_dejson={"ui_url": "https://p.lan/"})
    assert elsewhere.run_url("1") == "https://p.lan/runs/flow-run/1"


def test_pages_of_prefect_cloud_are_on_another_host():
    cloud = connection(
        host="https://api.prefect.cloud/api/accounts/a1/workspaces/w1",
        port=443,
        password="pnu_key",
    )
    assert cloud.api_url == "https://api.prefect.cloud/api/accounts/a1/workspaces/w1"
    assert cloud.run_url("1") == (
        "https://app.prefect.cloud/account/a1/workspace/w1/runs/flow-run/1"
    )
    assert cloud.client().headers["Authorization"] == "Bearer pnu_key"


def test_login_makes_it_basic_auth_and_nothing_shows_secrets():
    server = connection(login="me", password="hush")
    assert server.auth == ("me", "hush")
    assert server.headers == {}
    assert "hush" not in repr(server)
    assert "hush" not in repr(connection(password="hush"))
