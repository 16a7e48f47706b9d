"""The report, made from a real pipeline and opened in a real browser."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright

from lakehouse.errors import NotEnoughData
from lakehouse.platform import Platform
from lakehouse.report import write_report
from lakehouse.report.data import RECENT_BARS, ReportData
from lakehouse.report.page import render

CHROMIUM = "/usr/bin/chromium"
SYMBOLS = ["AAPL", "FB", "GOOG", "IBM", "MSFT"]


@pytest.fixture(scope="module")
def report(scored: Platform, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(scored, tmp_path_factory.mktemp("report") / "report.html")


def open_page(path: Path, screenshot: Path) -> tuple[dict[str, Any], list[str], list[str]]:
    """What the page shows, its requests beyond itself, and its errors."""
    problems: list[str] = []
    requests: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "console", lambda line: problems.append(line.text) if line.type == "error" else None
        )
        page.on("request", lambda request: requests.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_selector("#forecast .scatterlayer")
        page.select_option("#symbol", label="MSFT")
        page.wait_for_function(
            "document.querySelector('#forecast .gtitle').textContent.startsWith('MSFT')"
        )
        shown = {
            "symbols": page.locator("#symbol option").all_inner_texts(),
            "charts": page.locator(".main-svg").count(),
            "text": page.inner_text("body"),
            "traces": page.locator("#forecast .trace").count(),
            "candles": page.locator("#forecast .boxlayer path.box").count(),
        }
        page.screenshot(path=screenshot, full_page=True)
        browser.close()
    return (
        shown,
        [url for url in requests if not url.startswith(("file:", "blob:", "data:"))],
        problems,
    )


def test_it_opens_without_a_network_and_shows_every_symbol(report: Path, tmp_path: Path) -> None:
    shown, requests, problems = open_page(report, tmp_path / "report.png")
    assert problems == []
    assert requests == []
    assert report.stat().st_size < 2_000_000
    assert shown["symbols"] == SYMBOLS
    assert shown["charts"] >= 5
    assert shown["traces"] >= 4
    assert shown["candles"] == RECENT_BARS
    for expected in (
        "drift",
        "The gate:",
        "What would it have earned?",
        "How far, rather than where to",
        "Simulated for the past (sample): what happened",
        "rank IC (95 % interval)",
        "Are the probabilities right?",
        "a large move",
        "price, USD",
        "raw.quotes",
    ):
        assert expected in shown["text"]
    assert (tmp_path / "report.png").stat().st_size > 50_000


def test_text_from_outside_cannot_become_markup() -> None:
    evil = "</script><img src=x onerror=alert(1)>"
    row = {
        "source": "test",
        "symbol": evil,
        "as_of_date": "2024-01-02",
        "target_date": "2024-01-03",
    }
    numbers = dict.fromkeys(
        ("split_factor", "last_close", "point", "lower_80", "upper_80", "lower_95", "upper_95"), 1.0
    )
    page = render(
        ReportData(
            symbols=[row],
            symbol_count=1,
            recent=[],
            history=[],
            forecasts=[row | numbers],
            realised=[],
            gate=[{"reason": evil}],
            health=[],
            snapshots={"raw.quotes": None},
        )
    )
    assert "<img" not in page.split("</script>", 1)[1]


def test_without_forecasts_it_says_what_to_run(stack: Platform, tmp_path: Path) -> None:
    with pytest.raises(NotEnoughData, match="run 'weekahead run' first"):
        write_report(stack, tmp_path / "report.html")
