"""How long the dashboards take to load in a browser, on the sample and at full scale.

``WEEKAHEAD_BENCH_FULL=1`` takes 12.5 M bars of 5,000 symbols and a million forecasts. Superset has
just been started; each dashboard is opened by a browser with an empty cache that has logged in, and
once more as people go on to do.
"""

import os
from pathlib import Path

import pytest

from lakehouse.settings import Settings
from lakehouse.warehouse.client import attach_lake
from lakehouse.warehouse.transform import transform
from tests.benchmarks.test_warehouse import DAYS, SLACK, SYMBOLS, filled_stack
from tests.e2e.superset_site import SLUGS, browser, load, login, serve

SAMPLE_SECONDS = 3.0
FULL_SECONDS = 5.0


def opened(settings: Settings, kept: Path) -> dict[str, tuple[float, float]]:
    """Seconds until each dashboard's charts are drawn, the first time and the second."""
    seconds = {}
    with serve(settings) as site, browser() as chromium:
        for slug in SLUGS:
            page = login(chromium, site)
            seconds[slug] = (load(page, site, slug, kept), load(page, site, slug, kept))
            page.close()
    return seconds


def report(what: str, seconds: dict[str, tuple[float, float]]) -> None:
    times = ", ".join(
        f"{slug} {one:.1f} s (again {two:.1f})" for slug, (one, two) in seconds.items()
    )
    print(f"\n{what}: {times}; load {os.getloadavg()[0]:.1f}")


@pytest.mark.timeout(1800)
def test_on_the_sample(scored: Settings, tmp_path: Path) -> None:
    seconds = opened(scored, tmp_path)
    report("Sample", seconds)
    assert max(max(pair) for pair in seconds.values()) < SAMPLE_SECONDS * SLACK


@pytest.mark.timeout(1800)
def test_with_many_symbols(tmp_path: Path) -> None:
    with filled_stack(tmp_path, DAYS) as settings:
        attach_lake(settings)
        transform(settings, full_refresh=True)
        seconds = opened(settings, tmp_path)
    report(f"{SYMBOLS:,} symbols, {SYMBOLS * DAYS:,} bars", seconds)
    assert max(max(pair) for pair in seconds.values()) < FULL_SECONDS * SLACK
