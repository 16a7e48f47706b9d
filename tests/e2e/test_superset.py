"""Superset for real: installed, started on real marts, imported, and looked at in a browser."""

import json
import os
import re
import shutil
import subprocess
from calendar import timegm
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import isnan
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest
from playwright.sync_api import Page, Response

from deploy.local import accounts, superset
from lakehouse.connections.clickhouse_client import connect
from lakehouse.platform import Platform
from lakehouse.settings import Settings
from tests.e2e.superset_api import SECONDS, Api
from tests.e2e.superset_charts import EXPECTED
from tests.e2e.superset_site import (
    ASSETS,
    LOADED,
    SLUGS,
    Site,
    all_charts,
    assets,
    browser,
    charts_of,
    load,
    login,
    serve,
)
from tests.stranger import EVIL, SIGNS_OF_LIFE, doors, intrude, knock

MOST_ROWS = 100_000


@dataclass
class Opened:
    """What a browser saw of one dashboard."""

    seconds: float
    text: str
    alerts: list[str]
    screenshot: Path
    asked: dict[str, dict[str, Any]] = field(default_factory=dict)
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    outside: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def site(scored: Platform) -> Iterator[Site]:
    with serve(scored.settings) as site:
        yield site


@pytest.fixture(scope="module")
def opened(site: Site, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Opened]:
    """Every dashboard, opened after a login as people do it."""
    kept = Path(os.environ.get("DASHBOARD_SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    kept.mkdir(parents=True, exist_ok=True)
    names = {chart["id"]: chart["uuid"] for chart in all_charts(site.login())}
    with browser() as chromium:
        page = login(chromium, site)
        return {slug: open_dashboard(page, site, slug, kept, names) for slug in SLUGS}


def open_dashboard(page: Page, site: Site, slug: str, kept: Path, names: dict[int, str]) -> Opened:
    answers: list[Response] = []
    outside: list[str] = []

    def answered(response: Response) -> None:
        if "/api/v1/chart/data" in response.url:
            answers.append(response)
        if not response.url.startswith((site.url, "data:", "blob:")):
            outside.append(response.url)

    page.on("response", answered)
    seconds = load(page, site, slug, kept)
    # The charts' first drawing is animated, and tall screenshots need a second one.
    page.set_viewport_size({"width": 1440, "height": 1650})
    page.wait_for_timeout(2000)
    screenshot = kept / f"{slug}.png"
    page.screenshot(path=screenshot)
    page.set_viewport_size({"width": 1440, "height": 1000})
    page.remove_listener("response", answered)
    result = Opened(
        seconds,
        page.inner_text("body"),
        page.locator(".dashboard-component-chart-holder [role=alert]").all_inner_texts(),
        screenshot,
        outside=outside,
    )
    for response in answers:
        asked = response.request.post_data_json
        number = asked["form_data"].get("slice_id")
        if number in names:
            # Filters' own questions have no chart; a later answer replaces an earlier one.
            result.asked[names[number]] = asked
            result.answers[names[number]] = {"status": response.status, **response.json()}
    return result


@pytest.mark.parametrize("slug", SLUGS)
def test_every_chart_of_a_dashboard_loads(opened: dict[str, Opened], slug: str) -> None:
    seen = opened[slug]
    print(f"{slug}: {seen.seconds:.1f} s")
    wanted = charts_of(slug)
    assert set(seen.answers) == wanted
    assert {answer["status"] for answer in seen.answers.values()} == {200}
    assert seen.alerts == []
    for complaint in ("No results", "No data", "Unexpected error", "Data error"):
        assert complaint not in seen.text
    for uuid in wanted:
        assert assets("charts")[uuid]["slice_name"] in seen.text
    assert "How to read this." in seen.text
    assert seen.screenshot.stat().st_size > 50_000
    assert seen.outside == [], "the browser reached beyond this machine"


def test_every_chart_shows_what_the_mart_holds(site: Site, opened: dict[str, Opened]) -> None:
    titles = {uuid: chart["slice_name"] for uuid, chart in assets("charts").items()}
    answers = {titles[u]: a for seen in opened.values() for u, a in seen.answers.items()}
    assert set(answers) == set(EXPECTED)
    with connect(site.settings, "admin") as client:
        for title, queries in EXPECTED.items():
            asked = (queries,) if isinstance(queries, str) else queries
            for query, result in zip(asked, answers[title]["result"], strict=True):
                expected = client.query(query).result_rows
                assert expected, f"{title}: the mart holds nothing"
                shown = [tuple(row.values()) for row in result["data"]]
                assert comparable(shown) == comparable(expected), title


def comparable(rows: list[tuple[Any, ...]]) -> list[tuple[str, ...]]:
    """Rows in an order of their own, with dates and numbers as both sides write them."""
    return sorted(tuple(_plain(value) for value in row) for row in rows)


def _plain(value: Any) -> str:
    if hasattr(value, "timetuple"):
        # Superset sends milliseconds, cut to seconds by the queries here.
        return str(timegm(value.timetuple()))
    if isinstance(value, (int, float)) and value > 10**11:
        return str(int(value) // 1000)
    if isinstance(value, float) and isnan(value):
        # JSON has no such number.
        return str(None)
    return f"{value:.9g}" if isinstance(value, float) else str(value)


def test_a_click_on_a_symbol_opens_its_page_with_nothing_else_on_it(site: Site) -> None:
    with browser() as chromium:
        page = login(chromium, site)
        load(page, site, "screener", Path())
        asked: list[dict[str, Any]] = []
        page.on(
            "request",
            lambda request: (
                asked.append(request.post_data_json) if "/chart/data" in request.url else None
            ),
        )
        page.locator("td a", has_text="IBM").click()
        page.wait_for_url(re.compile("/dashboard/symbol/"))
        page.wait_for_function(LOADED, arg=len(charts_of("symbol")))
    filtered = [
        {condition["col"]: condition["val"] for condition in query["filters"]}
        for body in asked
        if body["form_data"].get("slice_id")
        for query in body["queries"]
    ]
    assert len(filtered) >= len(charts_of("symbol"))
    assert {tuple(f["symbol"]) for f in filtered} == {("IBM",)}
    assert {tuple(f["source"]) for f in filtered} == {("sample",)}


def test_no_chart_asks_for_more_rows_than_a_screen_can_show(opened: dict[str, Opened]) -> None:
    for seen in opened.values():
        for uuid, asked in seen.asked.items():
            assert all(query.get("row_limit", 1) <= MOST_ROWS for query in asked["queries"]), uuid
            for result in seen.answers[uuid]["result"]:
                # A total has one row, and needs no limit.
                limited = re.search(r"\bLIMIT\s+\d+", result["query"])
                assert limited or "GROUP BY" not in result["query"], result["query"]
                assert result["rowcount"] <= MOST_ROWS


def test_a_date_filter_cuts_at_the_day_although_the_chart_shows_months(
    site: Site, opened: dict[str, Opened]
) -> None:
    (uuid,) = (u for u, c in assets("charts").items() if "per month" in c["slice_name"])
    body = json.loads(json.dumps(opened["market-and-forecast"].asked[uuid]))
    (query,) = body["queries"]
    for condition in query["filters"]:
        if condition["op"] == "TEMPORAL_RANGE":
            condition["val"] = "2005-02-10 : 2005-04-12"
    body["force"] = True
    (result,) = site.login().call("POST", "chart/data", body)["result"]
    with connect(site.settings, "reader") as client:
        expected = client.query(
            "select toDateTime(toStartOfMonth(trade_date), 'UTC'), sum(adjusted_volume) "
            "from marts.fct_quotes where symbol = 'AAPL' "
            "and trade_date >= '2005-02-10' and trade_date < '2005-04-12' group by 1"
        ).result_rows
    assert len(expected) == 3
    assert comparable([tuple(row.values()) for row in result["data"]]) == comparable(expected)


def test_the_reader_sees_the_marts_and_changes_nothing(site: Site) -> None:
    api = site.login()
    (database,) = api.call("GET", "database/?q=(columns:!(id,database_name))")["result"]

    def run(sql: str) -> dict[str, Any]:
        body = {"database_id": database["id"], "sql": sql, "runAsync": False}
        return api.call("POST", "sqllab/execute/", body)

    assert run("select count() as n from marts.dim_symbol")["data"] == [{"n": 5}]
    for refused in (
        "select * from lake.`raw.quotes` limit 1",
        "select * from staging.stg_quotes limit 1",
        "select * from system.users",
        "insert into marts.dim_symbol select * from marts.dim_symbol",
        "drop table marts.dim_symbol",
        "create table marts.mine (x Int8) engine = Memory",
    ):
        with pytest.raises(HTTPError) as error:
            run(refused)
        assert error.value.code in (400, 403, 422, 500), refused
        with connect(site.settings, "reader") as client, pytest.raises(Exception, match=r"497|164"):
            client.command(refused)


def test_a_person_reads_as_the_role_says_and_no_longer_once_removed(site: Site) -> None:
    passwords = {
        name: accounts.add(site.settings, name, role)
        for name, role in (("vera", "viewer"), ("anna", "analyst"))
    }
    site.prepare()
    boards = site.login().call("GET", "dashboard/?q=(page_size:100)")["result"]
    ours = {board["slug"]: board["id"] for board in boards if board["slug"] in SLUGS}
    for name, password in passwords.items():
        api = Api(site.url, password, name)
        seen = api.call("GET", "dashboard/?q=(page_size:100)")["result"]
        assert {board["slug"] for board in seen} >= set(SLUGS)
        (dataset,) = api.call("GET", f"dashboard/{ours['screener']}/datasets")["result"]
        asked = {
            "datasource": {"id": dataset["id"], "type": "table"},
            "queries": [{"columns": ["symbol"], "metrics": [], "row_limit": 10}],
            "result_format": "json",
            "result_type": "full",
        }
        data = api.call("POST", "chart/data", asked)
        assert data["result"][0]["rowcount"] == 5, data
        with pytest.raises(HTTPError) as refused:
            api.call("PUT", f"dashboard/{ours['screener']}", {"dashboard_title": "Mine"})
        assert refused.value.code in (403, 404)

    sql = {"database_id": 1, "sql": "select 1 as n", "runAsync": False}
    assert Api(site.url, passwords["anna"], "anna").call("POST", "sqllab/execute/", sql)
    with pytest.raises(HTTPError):
        Api(site.url, passwords["vera"], "vera").call("POST", "sqllab/execute/", sql)

    for name in passwords:
        accounts.remove(site.settings, name)
    site.prepare()
    for name, password in passwords.items():
        with pytest.raises(HTTPError) as locked:
            Api(site.url, password, name)
        assert locked.value.code == 401


def test_an_export_after_the_import_changes_nothing(site: Site, tmp_path: Path) -> None:
    shutil.copytree(ASSETS, tmp_path / "assets")
    assert export(site, tmp_path / "assets") == 0
    assert files(tmp_path / "assets") == files(ASSETS)


def test_import_again_restores_ours_in_place_and_keeps_what_people_made(
    site: Site, opened: dict[str, Opened], tmp_path: Path
) -> None:
    api = site.login()
    ours = next(c for c in all_charts(api) if c["slice_name"] == "Forecasts due")
    dataset = api.call("GET", "dataset/?q=(columns:!(id))")["result"][0]
    api.call("PUT", f"chart/{ours['id']}", {"slice_name": "Edited by hand"})
    own = {
        "slice_name": "My own chart",
        "viz_type": "table",
        "params": "{}",
        "datasource_id": dataset["id"],
        "datasource_type": "table",
    }
    mine = api.call("POST", "chart/", own)["id"]

    # The edit can be brought home: one file goes, one comes, nothing else changes.
    shutil.copytree(ASSETS, tmp_path / "assets")
    assert export(site, tmp_path / "assets") == 0
    gone = files(ASSETS).keys() - files(tmp_path / "assets").keys()
    come = files(tmp_path / "assets").keys() - files(ASSETS).keys()
    assert (gone, come) == ({"charts/forecasts_due.yaml"}, {"charts/edited_by_hand.yaml"})

    # A start with unchanged files leaves the edit alone …
    public = site.settings.model_copy(deep=True)
    public.superset.public = True
    superset.prepare(public, site.home, site.secrets)
    assert "Edited by hand" in {chart["slice_name"] for chart in all_charts(api)}
    # (… and everyone may read, because this configuration says so; the next one does not.)
    assert anonymous(site) == len(SLUGS)
    body = json.dumps(next(iter(opened["data-health"].asked.values()))).encode()
    question = Request(f"{site.url}/api/v1/chart/data", body, {"Content-Type": "application/json"})
    with urlopen(question, timeout=SECONDS) as answer:
        assert json.load(answer)["result"][0]["rowcount"] > 0
    # … and what has changed (here the warehouse's address and the language) is imported in place.
    other = site.settings.model_copy(deep=True)
    other.superset.language = "ru"
    other.clickhouse.url = (other.clickhouse.url or "").replace("127.0.0.1", "localhost")
    superset.prepare(other, site.home, site.secrets)
    assert anonymous(site) == 0
    with pytest.raises(HTTPError):
        urlopen(question, timeout=SECONDS)
    after = {chart["id"]: chart["slice_name"] for chart in all_charts(api)}
    assert after[ours["id"]] == "Сбывшихся сроков"
    assert after[mine] == "My own chart"
    assert len(after) == len(assets("charts")) + 1
    assert labels(api) >= {"Торговая цена", "С учётом дроблений"}
    # What is shown in Russian is kept in English, and comes back without a trace of the other.
    assert export(site, tmp_path / "assets", other) == 0
    assert files(tmp_path / "assets") == files(ASSETS)
    site.prepare()
    after = {chart["id"]: chart["slice_name"] for chart in all_charts(api)}
    assert after[ours["id"]] == "Forecasts due"
    assert labels(api) == {None}


def labels(api: Api) -> set[str | None]:
    """Labels of the quotes' metrics, apart from their names."""
    datasets = api.call("GET", "dataset/?q=(page_size:100,columns:!(id,table_name))")["result"]
    (quotes,) = (one["id"] for one in datasets if one["table_name"] == "fct_quotes")
    metrics = api.call("GET", f"dataset/{quotes}")["result"]["metrics"]
    return {metric["verbose_name"] for metric in metrics}


def export(site: Site, to: Path, settings: Settings | None = None) -> int:
    return superset.export(settings or site.settings, site.home, site.secrets, ["--to", str(to)])


def files(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): path.read_text() for path in root.rglob("*.yaml")}


def test_secrets_are_nowhere_but_where_they_belong(site: Site) -> None:
    state = site.home.data("superset") / "superset.db"
    reader = site.settings.clickhouse.reader_password.get_secret_value()
    for path in [state, *site.home.logs.glob("superset*.log"), *ASSETS.rglob("*.yaml")]:
        for secret in (reader, site.secrets["superset_admin"], site.secrets["superset_secret_key"]):
            assert secret.encode() not in path.read_bytes(), path
    assert (site.home.config / "secrets.json").stat().st_mode & 0o077 == 0
    assert state.stat().st_mode & 0o077 == 0 or state.parent.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("secret", ["", "short", "CHANGE_ME_TO_A_COMPLEX_RANDOM_SECRET"])
def test_a_known_or_short_secret_is_refused(site: Site, secret: str) -> None:
    python = superset.environment(site.home) / "bin" / "python"
    done = subprocess.run(
        [str(python), str(superset.DEPLOY / "superset_config.py")],
        env=os.environ | {"SUPERSET_SECRET_KEY": secret, "SUPERSET_DATABASE_URI": "sqlite://"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Refusing to start" in done.stderr


def anonymous(site: Site) -> int:
    """The number of dashboards visible without an account."""
    query = urlencode({"q": "(page_size:10)"})
    try:
        with urlopen(f"{site.url}/api/v1/dashboard/?{query}", timeout=SECONDS) as answer:
            return int(json.load(answer)["count"])
    except HTTPError as error:
        assert error.code == 401
        return 0


def test_without_an_account_nothing_can_be_read(site: Site) -> None:
    assert anonymous(site) == 0
    with urlopen(f"{site.url}/superset/dashboard/{SLUGS[0]}/", timeout=SECONDS) as answer:
        assert "/login" in answer.url


def test_strangers_and_web_pages_get_nothing(site: Site) -> None:
    assert intrude(site.home) == []
    assert intrude(site.home, SIGNS_OF_LIFE, host=EVIL, origin=f"http://{EVIL}") == []
    # A page of another site that knows the right name is still another site.
    foreign = knock(
        [door for door in doors(site.home) if door.name == "superset.http"], origin=f"http://{EVIL}"
    )
    assert foreign == []
