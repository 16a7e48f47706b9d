"""How long the dashboards take to load in a browser, on the sample and at full scale.

``WEEKAHEAD_BENCH_FULL=1`` takes 12.5 M bars of 5,000 symbols and five million forecasts. Superset
has just been started; each dashboard is opened by a browser with an empty cache that has logged in,
and once more as people go on to do. A chart's time is that of its request: Superset and ClickHouse.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Request

from lakehouse.platform import Platform
from lakehouse.settings import Settings
from lakehouse.warehouse.transform import transform
from tests.benchmarks.test_warehouse import DAYS, FORECAST_DAYS, SLACK, SYMBOLS, filled_stack
from tests.e2e.superset_site import SLUGS, all_charts, browser, load, login, serve

SAMPLE_SECONDS = 3.0
FULL_SECONDS = 4.0
CHART_SECONDS = 1.0
SLOWEST = 8


@dataclass
class Opened:
    """Seconds of the dashboards and their charts.

    Attributes:
        dashboards: Until all charts are drawn, the first time and the second, by dashboard.
        charts: Of each request for a chart's data, with the names of dashboard and chart.
    """

    dashboards: dict[str, tuple[float, float]] = field(default_factory=dict)
    charts: list[tuple[float, str, str]] = field(default_factory=list)

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
        for seconds, slug, chart in sorted(self.charts, reverse=True)[:SLOWEST]:
            print(f"  {seconds:.2f} s {slug}: {chart}")


def opened(settings: Settings, kept: Path) -> Opened:
    """Open each dashboard twice."""
    found = Opened()
    with serve(settings) as site, browser() as chromium:
        names = {chart["id"]: chart["slice_name"] for chart in all_charts(site.login())}
        for slug in SLUGS:
            page = login(chromium, site)

            def note(request: Request, slug: str = slug) -> None:
                if "/api/v1/chart/data" in request.url:
                    form = (request.post_data_json or {}).get("form_data", {})
                    name = names.get(form.get("slice_id"), "values of a filter")
                    found.charts.append((request.timing["responseEnd"] / 1000, slug, name))

            page.on("requestfinished", note)
            found.dashboards[slug] = (load(page, site, slug, kept), load(page, site, slug, kept))
            page.close()
    return found


@pytest.mark.timeout(1800)
def test_on_the_sample(scored: Platform, tmp_path: Path) -> None:
    found = opened(scored.settings, tmp_path)
    found.report("Sample")
    assert found.slowest < SAMPLE_SECONDS * SLACK


@pytest.mark.timeout(1800)
def test_with_many_symbols(tmp_path: Path) -> None:
    with filled_stack(tmp_path, DAYS) as platform:
        transform(platform, full_refresh=True)
        found = opened(platform.settings, tmp_path)
    rows = SYMBOLS * FORECAST_DAYS * 5
    found.report(f"{SYMBOLS:,} symbols, {SYMBOLS * DAYS:,} bars, {rows:,} forecasts")
    assert found.slowest < FULL_SECONDS * SLACK
    assert max(found.charts)[0] < CHART_SECONDS * SLACK
