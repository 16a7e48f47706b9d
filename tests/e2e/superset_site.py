"""Superset on the marts of a home, and a browser that opens its dashboards as people do."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from playwright.sync_api import Browser, Page, TimeoutError, sync_playwright

from deploy.local import superset
from deploy.local.lifecycle import using
from lakehouse.home import Home
from lakehouse.settings import Settings
from tests.e2e.superset_api import SECONDS, Api

CHROMIUM = "/usr/bin/chromium"
SLUGS = (
    "market-and-forecast",
    "screener",
    "symbol",
    "how-good-is-it",
    "data-health",
    "what-would-it-have-earned",
)
ASSETS = superset.DEPLOY / "assets"
LOADED = """count => {
  const boxes = [...document.querySelectorAll('.dashboard-component-chart-holder')]
    .filter(box => box.querySelector('.chart-slice, .slice_container'));
  return boxes.length >= count && boxes.every(box =>
    !box.querySelector('.loading, [data-test="loading-indicator"]') &&
    box.querySelector('canvas, table tbody tr, .header-line, .ant-empty, [role="alert"]'));
}"""


@dataclass
class Site:
    """A running Superset."""

    settings: Settings
    home: Home
    secrets: dict[str, str]
    url: str

    def login(self) -> Api:
        return Api(self.url, self.secrets["superset_admin"])

    def prepare(self) -> None:
        superset.prepare(self.settings, self.home, self.secrets)


@contextmanager
def serve(settings: Settings) -> Iterator[Site]:
    """Superset with our assets, installed and started."""
    with using(settings) as (stack, _):
        superset.install(stack.home)
        site = Site(settings, stack.home, stack.secrets, "")
        site.prepare()
        services = superset.services(settings, stack.home, stack.secrets)
        stack.ensure(services)
        site.url = f"http://127.0.0.1:{stack.state.ports[superset.NAME]['http']}"
        yield site
        stack.manager.forget(superset.NAME)


@contextmanager
def browser() -> Iterator[Browser]:
    """Debian's Chromium, without a screen."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield chromium
        chromium.close()


def login(chromium: Browser, site: Site) -> Page:
    """A page of its own, with nothing in its cache, logged in through the form."""
    page = chromium.new_page(viewport={"width": 1440, "height": 1000})
    page.set_default_timeout(SECONDS * 1000)
    page.goto(f"{site.url}/login/")
    page.fill("#username", "admin")
    page.fill("#password", site.secrets["superset_admin"])
    page.press("#password", "Enter")
    page.wait_for_url(re.compile("welcome"))
    return page


def load(page: Page, site: Site, slug: str, kept: Path) -> float:
    """Open a dashboard; returns the seconds until every chart was drawn."""
    started = time.monotonic()
    page.goto(f"{site.url}/superset/dashboard/{slug}/", wait_until="domcontentloaded")
    try:
        page.wait_for_function(LOADED, arg=len(charts_of(slug)))
    except TimeoutError as error:
        page.screenshot(path=kept / f"{slug}-waiting.png", full_page=True)
        raise AssertionError(
            f"{slug} did not load: {page.url}: {page.inner_text('body')}"
        ) from error
    return time.monotonic() - started


def all_charts(api: Api) -> list[dict[str, Any]]:
    charts = api.call("GET", "chart/?q=(page_size:100,columns:!(id,uuid,slice_name,params))")
    return charts["result"]


def assets(kind: str) -> dict[str, dict[str, Any]]:
    """The repository's assets of one kind, by uuid."""
    contents = (yaml.safe_load(path.read_text()) for path in ASSETS.glob(f"{kind}/**/*.yaml"))
    return {content["uuid"]: content for content in contents}


def charts_of(slug: str) -> set[str]:
    """The charts of a dashboard, as the repository has it."""
    dashboard = next(d for d in assets("dashboards").values() if d["slug"] == slug)
    return {
        part["meta"]["uuid"]
        for part in dashboard["position"].values()
        if isinstance(part, dict) and part["type"] == "CHART"
    }
