"""Airflow's pages in a real browser: log in, see the DAGs, test the connection, open the form."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

from deploy.local import airflow
from tests.integration.airflow.world import World
from tests.stranger import EVIL, SIGNS_OF_LIFE, intrude


@pytest.fixture
def page(world: World) -> Iterator[Page]:
    with sync_playwright() as browsers:
        browser = browsers.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.set_default_timeout(60_000)
        page.goto(world.airflow_url)
        page.fill("input[name=username]", airflow.USER)
        page.fill("input[name=password]", world.secrets["airflow"])
        page.click("button[type=submit]")
        page.wait_for_selector("text=Dags")
        yield page
        browser.close()


def test_dags_are_shown_and_have_forms(world: World, page: Page, tmp_path: Path) -> None:
    page.goto(f"{world.airflow_url}/dags?tags=weekahead")
    page.wait_for_selector("text=weekahead_daily")
    page.wait_for_selector("text=weekahead_weekly_training")
    page.screenshot(path=tmp_path / "airflow-dags.png")
    page.goto(f"{world.airflow_url}/dags/weekahead_daily")
    page.click("button:has-text('Trigger')")
    page.wait_for_selector("text=Last trading date to fetch", state="attached")
    page.screenshot(path=tmp_path / "airflow-form.png")


def test_connection_is_tested_by_its_button(world: World, page: Page, tmp_path: Path) -> None:
    page.goto(f"{world.airflow_url}/connections")
    with page.expect_response(lambda answer: answer.url.endswith("/connections/test")) as answer:
        page.click("button[aria-label='Test Connection']")
    assert answer.value.json()["status"] is True
    assert "deployments" in answer.value.json()["message"]
    page.click("button[aria-label='Edit Connection']")
    page.wait_for_selector("text=Password, or API key")
    page.screenshot(path=tmp_path / "airflow-connection.png")


def test_strangers_and_web_pages_get_nothing(world: World) -> None:
    home = world.stack.home
    assert intrude(home) == []
    assert intrude(home, SIGNS_OF_LIFE, host=EVIL, origin=f"http://{EVIL}") == []
