"""How long the dashboards take to load in a browser, on the sample and at full scale.

``WEEKAHEAD_BENCH_FULL=1`` takes 12.5 M bars of 5,000 symbols and five million forecasts. Superset
has just been started; each dashboard is opened by a browser with an empty cache that has logged in,
and once more as people go on to do. Then each chart's request is repeated alone, past Superset's
cache: that time is ClickHouse's and Superset's own.
"""

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Request

from lakehouse.platform import Platform
from lakehouse.settings import Settings
from lakehouse.warehouse.transform import transform
from tests.benchmarks.test_warehouse import DAYS, FULL, SLACK, SYMBOLS, filled_stack
from tests.e2e.superset_site import SLUGS, all_charts, browser, load, login, serve

SAMPLE_SECONDS = 3.0
FULL_SECONDS = 4.0
CHART_SECONDS = 1.0
# Five million forecasts at full scale.
FORECAST_DAYS = 200 if FULL else 40
SLOWEST = 8


@dataclass
class Opened:
    """Seconds of the dashboards and their charts.

    Attributes:
        dashboards: Until all charts are drawn, the first time and the second, by dashboard.
        charts: Of each chart's data, asked for alone, by dashboard and chart.
    """

    dashboards: dict[str, tuple[float, float]] = field(default_factory=dict)
    charts: dict[tuple[str, str], float] = field(default_factory=dict)

    @property
    def slowest(self) -> float:
        """Of all dashboards."""
        return max(max(pair) for pair in self.dashboards.values())

    def report(self, what: str) -> None:
        """Print the figures."""
        times = ", ".join(
            f"{slug} {one:.1f} s (again {two:.1f})" for slug, (one, two) in self.dashboards.items()
        )
        print(f"\n{what}: {times}; load {os.getloadavg()[0]:.1f}")
        slowest = sorted(self.charts.items(), key=lambda chart: -chart[1])
        for (slug, name), seconds in slowest[:SLOWEST]:
            print(f"  {seconds:.2f} s {slug}: {name}")


def opened(settings: Settings, kept: Path) -> Opened:
    """Open each dashboard twice."""
    found = Opened()
    asked: dict[tuple[str, str], dict[str, Any]] = {}
    with serve(settings) as site, browser() as chromium:
        api = site.login()
        names = {chart["id"]: chart["slice_name"] for chart in all_charts(api)}
        for slug in SLUGS:
            page = login(chromium, site)

            def note(request: Request, slug: str = slug) -> None:
                if "/api/v1/chart/data" in request.url:
                    body = request.post_data_json
                    name = names.get(body["form_data"].get("slice_id"), "values of a filter")
                    asked[slug, name] = body

            page.on("requestfinished", note)
            found.dashboards[slug] = (load(page, site, slug, kept), load(page, site, slug, kept))
            page.close()
        for chart, body in asked.items():
            started = time.perf_counter()
            api.call("POST", "chart/data", body | {"force": True})
            found.charts[chart] = time.perf_counter() - started
    return found


@pytest.mark.timeout(1800)
def test_on_the_sample(scored: Platform, tmp_path: Path) -> None:
    found = opened(scored.settings, tmp_path)
    found.report("Sample")
    assert found.slowest < SAMPLE_SECONDS * SLACK


@pytest.mark.timeout(1800)
def test_with_many_symbols(tmp_path: Path) -> None:
    with filled_stack(tmp_path, DAYS, FORECAST_DAYS) as platform:
        transform(platform, full_refresh=True)
        found = opened(platform.settings, tmp_path)
    rows = SYMBOLS * FORECAST_DAYS * 5
    found.report(f"{SYMBOLS:,} symbols, {SYMBOLS * DAYS:,} bars, {rows:,} forecasts")
    assert found.slowest < FULL_SECONDS * SLACK
    assert max(found.charts.values()) < CHART_SECONDS * SLACK
