"""A build says what failed, cleans up after killed ones, and is never half-visible."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from urllib.request import urlopen

import pyarrow as pa
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from catalog.connect import open_catalog
from catalog.merge import append
from catalog.snapshots import current_snapshots
from catalog.tables import GATE_DECISIONS
from lakehouse.connections.clickhouse_client import attach_lake, connect
from lakehouse.errors import ServiceError
from lakehouse.locks import exclusive
from lakehouse.platform import Platform
from lakehouse.warehouse.docs import generate, serve
from lakehouse.warehouse.runner import common_arguments, dbt_environment
from lakehouse.warehouse.transform import (
    LEDGER,
    TransformReport,
    changed_sources,
    refresh,
    transform,
)
from tests.integration.warehouse.market import Market

SYMBOLS = ["AA", "BB", "CC"]


@pytest.fixture(scope="module")
def built(stack: Platform, market: Callable[[str, int], Market]) -> Market:
    """A market of 60 days that is in the marts."""
    exchange = market("builds", 5)
    exchange.trade(SYMBOLS, 60)
    transform(stack)
    return exchange


def test_a_split_that_the_price_does_not_show_is_named_and_stops_nobody(
    stack: Platform, built: Market
) -> None:
    day = built.dates[30]
    built.split("BB", day, after=4.0)
    try:
        report = transform(stack)
    finally:
        # One for one takes it back.
        built.split("BB", day, after=1.0)
    (warning,) = [text for text in report.warnings if "assert_splits_are_applied_once" in text]
    assert "symbol=BB" in warning
    assert "seeds/split_overrides.csv" in warning
    transform(stack)
    with connect(stack.settings) as client:
        factors = client.query(
            "SELECT uniqExact(split_factor) FROM marts.fct_quotes "
            "WHERE source = 'builds' AND symbol = 'BB'"
        ).result_rows
        derived = client.query("SELECT source, symbol FROM intermediate.int_rebuild").result_rows
    assert factors == [(1,)]
    assert derived == [("builds", "BB")], "a late split derives that symbol again, and no other"


def test_orphans_of_a_killed_build_are_dropped(stack: Platform, built: Market) -> None:
    with connect(stack.settings) as client:
        client.command(
            "CREATE TABLE marts.fct_quotes__dbt_new_data_1 (a UInt8) ENGINE = MergeTree ORDER BY a"
        )
        transform(stack)
        left = client.query(
            "SELECT name FROM system.tables WHERE database = 'marts' AND name LIKE '%__dbt_%'"
        ).result_rows
    assert left == []


def test_a_reader_sees_every_row_all_the_time(stack: Platform, built: Market) -> None:
    """While a late correction replaces rows, no query finds fewer of them."""
    done = threading.Event()
    counts: set[tuple[int, int]] = set()

    def watch() -> None:
        with connect(stack.settings, "reader") as client:
            while not done.is_set():
                counts.add(
                    client.query(
                        "SELECT (SELECT count() FROM marts.fct_quotes WHERE source = 'builds'), "
                        "(SELECT count() FROM marts.fct_features WHERE source = 'builds')"
                    ).result_rows[0]
                )

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for index in (10, 25):
            built.correct("AA", built.dates[index])
            transform(stack)
    finally:
        done.set()
        watcher.join()
    assert len(counts) >= 1
    for table in zip(*counts, strict=True):
        assert min(table) > 150
        # A correction of a missing or tradeless day adds a row; none may ever be gone.
        assert max(table) - min(table) <= 2


def test_a_build_waits_for_another(
    stack: Platform, built: Market, caplog: pytest.LogCaptureFixture
) -> None:
    transform(stack)
    caplog.clear()
    with exclusive(stack.settings.home.absolute() / "run" / "build.lock"):
        waiter = threading.Thread(target=refresh, args=(stack,))
        waiter.start()
        while not caplog.messages:
            waiter.join(0.05)
        assert waiter.is_alive()
        told = caplog.messages[0]
    waiter.join(60)
    assert not waiter.is_alive()
    assert "waiting" in told


def test_two_homes_build_one_warehouse_in_turn(
    stack: Platform, built: Market, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As two workers on two machines do."""
    other = Platform(stack.settings.model_copy(update={"home": tmp_path}))
    reports: list[TransformReport] = []

    def build(platform: Platform) -> None:
        reports.append(transform(platform))

    builders = [threading.Thread(target=build, args=(home,)) for home in (stack, other)]
    for builder in builders:
        builder.start()
    for builder in builders:
        builder.join(120)
    assert len(reports) == 2
    assert reports[0].rows == reports[1].rows
    assert any("another home on this lake" in said for said in caplog.messages)


def test_new_forecasts_or_decisions_build_the_ledger_only(stack: Platform, built: Market) -> None:
    everything = transform(stack)
    assert changed_sources(stack) == set()
    catalog = stack.lake
    decided = pa.array([datetime.now(UTC)], pa.timestamp("us", "UTC"))
    table = pa.table({"decided_at": decided, "reason": ["no better than drift"]})
    append(catalog, GATE_DECISIONS, table, commit_id="decision-1")
    assert changed_sources(stack) == {"ml.gate_decisions"}
    report = transform(stack, select=LEDGER)
    assert sum(report.nodes.values()) < sum(everything.nodes.values()) / 2
    assert changed_sources(stack) == set()
    with connect(stack.settings) as client:
        reasons = client.query("SELECT reason FROM marts.fct_gate_decisions").result_rows
    assert ("no better than drift",) in reasons


def test_dbt_unit_tests_pass(stack: Platform, built: Market) -> None:
    from dbt.cli.main import dbtRunner

    arguments = ["test", "--select", "test_type:unit", *common_arguments(stack.settings)]
    snapshots = current_snapshots(stack.lake)
    with dbt_environment(stack.settings, snapshots):
        result = dbtRunner().invoke(arguments)
    assert result.success
    assert {item.status for item in result.result.results} == {"pass"}
    assert len(result.result.results) >= 5


def test_the_cluster_target_asks_for_replicas_everywhere(stack: Platform, built: Market) -> None:
    """No cluster is here to run it: what the target makes of the models is looked at."""
    from dbt.cli.main import dbtRunner

    clause = "{% if execute %}{{ on_cluster_clause(ref('int_rebuild')) }}{% endif %}"
    inline = f"create table {{{{ ref('int_rebuild') }}}} {clause}"
    common = [
        *common_arguments(stack.settings),
        "--target-path",
        str(stack.settings.home / "cluster"),
    ]
    common += ["--target", "cluster"]
    snapshots = current_snapshots(stack.lake)
    with dbt_environment(stack.settings, snapshots):
        parsed = dbtRunner().invoke(["parse", *common])
        found = dbtRunner().invoke(["compile", *common, "--no-populate-cache", "--inline", inline])
    assert found.success, found.exception
    compiled = found.result.results[0].node.compiled_code
    assert compiled.split() == [
        "create", "table", "`intermediate`.`int_rebuild`", "ON", "CLUSTER", '"weekahead"'
    ]  # fmt: skip
    tables = [
        node
        for node in parsed.result.nodes.values()
        if node.resource_type in ("model", "seed") and node.config.materialized != "view"
    ]
    assert len(tables) > 15
    assert {node.config.extra["engine"] for node in tables} == {"ReplicatedMergeTree"}


def test_documentation_is_browsable(stack: Platform, built: Market) -> None:
    page = generate(stack.settings)
    addresses: list[str] = []
    ready = threading.Event()

    def note(address: str) -> None:
        addresses.append(address)
        ready.set()

    threading.Thread(target=serve, args=(page,), kwargs={"ready": note}, daemon=True).start()
    assert ready.wait(10)
    with urlopen(addresses[0]) as answer:
        text = answer.read().decode()
    assert "fct_forecast_accuracy" in text
    assert stack.settings.clickhouse.writer_password.get_secret_value() not in text


def test_the_lake_is_attached_once(stack: Platform, built: Market) -> None:
    with connect(stack.settings, "admin") as client:
        query = "SELECT uuid, comment FROM system.databases WHERE name = 'lake'"
        before = client.query(query).result_rows
        attach_lake(stack.settings)
        assert client.query(query).result_rows == before
        assert client.query("SELECT count() FROM lake.`raw.quotes`").result_rows[0][0] > 0
    with connect(stack.settings, "reader") as client, pytest.raises(DatabaseError):
        client.query("SELECT count() FROM lake.`raw.quotes`")


def test_tables_pinned_one_by_one_read_the_same(stack: Platform, built: Market) -> None:
    """The way to attach a lake whose catalog ClickHouse does not speak."""
    from catalog.clickhouse import pinned_tables

    catalog = open_catalog(stack.settings.catalog, stack.settings.s3, read_only=True)
    with connect(stack.settings, "admin") as client:
        for statement in pinned_tables(catalog, stack.settings.s3, name="pinned"):
            client.command(statement)
        counts = [
            client.query(
                # A sum of floats would depend on the order in which threads read the files.
                "SELECT count(), sum(cityHash64(symbol, trade_date, close)), max(trade_date) "
                f"FROM {database}.`raw.quotes` WHERE source = 'builds'"
            ).result_rows
            for database in ("lake", "pinned")
        ]
        client.command("DROP DATABASE pinned")
    assert counts[0] == counts[1]
    assert counts[0][0][0] > 150


def test_a_warehouse_that_is_down_is_named(stack: Platform) -> None:
    down = stack.settings.model_copy(deep=True)
    down.clickhouse.url = "http://127.0.0.1:9"
    with pytest.raises(ServiceError, match=r"127\.0\.0\.1:9"):
        transform(Platform(down))
