"""The sample ends up in the lake value for value, once."""

import logging
from pathlib import Path

import pytest
from bokeh_sampledata import stocks

from lakehouse.errors import NotEnoughData, SourceUnavailable, UsageError
from lakehouse.landing.ingest import ingest
from lakehouse.landing.rejects import list_rejects
from lakehouse.landing.request import Counts, IngestReport, IngestRequest
from lakehouse.platform import Platform
from lakehouse.settings.sources import HttpSettings, MoexSettings

BARS = {"AAPL": 3270, "FB": 196, "GOOG": 2148, "IBM": 3270, "MSFT": 3270}
TABLES = ("quotes", "splits", "dividends", "calendar", "securities", "rejects")


@pytest.fixture(scope="module")
def home(lake: Platform, tmp_path_factory: pytest.TempPathFactory) -> Platform:
    return Platform(lake.settings.model_copy(update={"home": tmp_path_factory.mktemp("sample")}))


@pytest.fixture(scope="module")
def first(home: Platform) -> IngestReport:
    return ingest(home, IngestRequest(source="sample"))


def snapshots(platform: Platform) -> dict[str, int]:
    catalog = platform.lake
    return {name: len(catalog.load_table(("raw", name)).snapshots()) for name in TABLES}


def test_every_bar_is_new(first: IngestReport) -> None:
    assert {symbol: counts.new for symbol, counts in first.symbols.items()} == BARS
    assert first.tables["raw.quotes"] == Counts(new=12_154, flagged=1)
    assert first.tables["raw.splits"] == Counts(new=3)
    assert (first.failed, first.warnings, first.exit_code) == ({}, (), 0)


def test_the_lake_equals_the_package(home: Platform, first: IngestReport) -> None:
    rows = home.lake.load_table("raw.quotes").scan("source = 'sample'").to_arrow().to_pylist()
    landed = sorted(
        (r["symbol"], str(r["trade_date"]), r["open"], r["high"], r["low"], r["close"], r["volume"])
        for r in rows
    )
    expected = []
    for symbol in BARS:
        data = getattr(stocks, symbol)
        columns = (data[name] for name in ("date", "open", "high", "low", "close", "volume"))
        expected += [(symbol, *values) for values in zip(*columns, strict=True)]
    assert landed == sorted(expected)
    assert {(r["currency"], r["board"]) for r in rows} == {("USD", "SAMPLE")}


def test_the_splits_explain_their_jumps(home: Platform, first: IngestReport) -> None:
    catalog = home.lake
    splits = catalog.load_table("raw.splits").scan("source = 'sample'").to_arrow().to_pylist()
    assert sorted(
        (s["symbol"], str(s["ex_date"]), s["ratio_before"], s["ratio_after"]) for s in splits
    ) == [
        ("AAPL", "2000-06-21", 1.0, 2.0),
        ("AAPL", "2005-02-28", 1.0, 2.0),
        ("MSFT", "2003-02-18", 1.0, 2.0),
    ]
    # The one jump that no split explains is real: a profit warning halved the share price.
    flagged = [(r.symbol, str(r.trade_date), r.status) for r in list_rejects(catalog, "sample")]
    assert flagged == [("AAPL", "2000-09-29", "flagged")]


def test_a_second_run_commits_nothing(home: Platform, first: IngestReport) -> None:
    before = snapshots(home)
    second = ingest(home, IngestRequest(source="sample"))
    assert snapshots(home) == before
    assert second.tables["raw.quotes"].new == second.tables["raw.quotes"].corrected == 0
    assert second.snapshots["raw.quotes"] == first.snapshots["raw.quotes"]
    assert second.requests < 25, "only the look-back is fetched again"


def test_all_of_it_again_commits_nothing(home: Platform, first: IngestReport) -> None:
    before = snapshots(home)
    again = ingest(home, IngestRequest("sample", start=home.settings.ingest.start))
    assert again.tables["raw.quotes"] == Counts(unchanged=12_154, flagged=1)
    assert snapshots(home) == before


@pytest.mark.parametrize(
    ("request_", "error", "message"),
    [
        ({"start": "2012-02-01", "end": "2012-01-01"}, UsageError, "is before --start"),
        ({"start": "2990-01-01"}, UsageError, "in the future"),
        ({"start": "2012-01-07", "end": "2012-01-08"}, NotEnoughData, "no quotes of any symbol"),
        ({"source": "nosuch"}, UsageError, "Choose one of: moex, sample, yahoo"),
        ({"board": "TQBR"}, UsageError, "only 'SAMPLE'"),
        ({"symbols": ("A B",)}, UsageError, "not a list of symbols"),
        ({"source": "yahoo", "board": "X"}, UsageError, "has no board"),
        ({"source": "yahoo"}, UsageError, "Name the symbols"),
    ],
)
def test_a_wrong_request_changes_nothing(
    home: Platform, first: IngestReport, request_: dict[str, object], error: type, message: str
) -> None:
    from datetime import date

    before = snapshots(home)
    parsed = {
        name: date.fromisoformat(str(value)) if name in ("start", "end") else value
        for name, value in request_.items()
    }
    with pytest.raises(error, match=message):
        ingest(home, IngestRequest(**parsed))  # type: ignore[arg-type]
    assert snapshots(home) == before


def test_an_unreachable_source_is_named(home: Platform) -> None:
    before = snapshots(home)
    settings = home.settings.model_copy(
        update={
            "moex": MoexSettings(base_url="http://127.0.0.1:9"),
            "http": HttpSettings(attempts=2, backoff_seconds=0.01, pause_seconds=0),
        }
    )
    with pytest.raises(SourceUnavailable, match=r"127\.0\.0\.1:9 .*WEEKAHEAD_MOEX__BASE_URL"):
        ingest(Platform(settings), IngestRequest("moex", symbols=("SBER",)))
    assert snapshots(home) == before


def test_no_secret_is_left_behind(
    home: Platform, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = home.settings.model_copy(update={"home": tmp_path})
    secret = settings.s3.secret_key.get_secret_value().encode()
    leaks = []

    class Looking(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            leaks.extend(
                path
                for path in tmp_path.rglob("*")
                if path.is_file() and secret in path.read_bytes()
            )

    progress, looking = logging.getLogger("weekahead"), Looking()
    progress.addHandler(looking)
    with caplog.at_level(logging.DEBUG, "dlt"), caplog.at_level(logging.INFO, "weekahead"):
        ingest(Platform(settings), IngestRequest("sample", symbols=("FB",)))
    progress.removeHandler(looking)
    assert "FB: " in caplog.text
    assert leaks == []
    assert secret.decode() not in caplog.text
    assert list((tmp_path / "ingest").iterdir()) == []


def test_a_home_that_cannot_be_written_is_named(home: Platform, tmp_path: Path) -> None:
    from lakehouse.errors import HomeError

    (tmp_path / "ingest").write_text("a file where the directory should be")
    settings = home.settings.model_copy(update={"home": tmp_path})
    with pytest.raises(HomeError, match="WEEKAHEAD_HOME"):
        ingest(Platform(settings), IngestRequest("sample"))
