import datetime

import pytest
from conftest import address
from weekahead_airflow.errors import PrefectMissing, PrefectRefusal, PrefectUnreachable
from weekahead_airflow.hook import PrefectHook

pytestmark = pytest.mark.usefixtures("prefect")


def test_connection_can_be_tested():
    worked, message = PrefectHook().test_connection()
    assert worked
    assert "deployments" in message


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (address(password="wrong"), "refuses the credentials"),
        (address(url="http://127.0.0.1:9/api"), "did not answer"),
    ],
)
def test_connection_that_is_wrong_says_why(monkeypatch, value, told):
    monkeypatch.setenv("AIRFLOW_CONN_PREFECT_DEFAULT", value)
    worked, message = PrefectHook().test_connection()
    assert not worked
    assert told in message
    assert "wrong" not in message.replace("wrong address", "")


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_busy_server_is_asked_again(monkeypatch, flaky, status):
    monkeypatch.setenv("AIRFLOW_CONN_PREFECT_DEFAULT", address(flaky.url))
    flaky.refusals = [status, status]
    assert PrefectHook().find_deployment("free/free")
    assert flaky.refusals == []


def test_patience_ends(monkeypatch, flaky):
    monkeypatch.setenv("AIRFLOW_CONN_PREFECT_DEFAULT", address(flaky.url))
    flaky.refusals = [503] * 100
    with pytest.raises(PrefectUnreachable, match="did not answer GET"):
        PrefectHook(patience=1.0).find_deployment("free/free")


def test_missing_deployment_is_named():
    with pytest.raises(PrefectMissing, match="no deployment 'free/other'"):
        PrefectHook().find_deployment("free/other")
    with pytest.raises(PrefectRefusal, match="flow/deployment"):
        PrefectHook().find_deployment("free")


def test_refused_parameters_are_told():
    hook = PrefectHook()
    with pytest.raises(PrefectRefusal, match="many"):
        hook.create_run(hook.find_deployment("strict/strict"), {"parameters": {"count": "many"}})


def test_dates_in_parameters():
    hook = PrefectHook()
    run = hook.create_run(
        hook.find_deployment("free/free"), {"parameters": {"day": datetime.date(2026, 1, 2)}}
    )
    assert run["parameters"] == {"day": "2026-01-02"}
    hook.cancel_run(run["id"])
    assert hook.read_run(run["id"])["state"]["type"] == "CANCELLED"
