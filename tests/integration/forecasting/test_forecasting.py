"""Training, forecasting, scoring and reproducing on real services, with the sample's bars."""

import datetime as dt
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import boto3
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from catalog.connect import ensure_tables, load_table
from catalog.maintenance import maintain
from catalog.merge import merge
from catalog.snapshots import tags
from catalog.tables import (
    BY_NAME,
    DIVIDENDS,
    FEATURE_DRIFT,
    FORECASTS,
    GATE_DECISIONS,
    QUOTES,
    SPLITS,
)
from lakehouse.connections.clickhouse_client import connect
from lakehouse.errors import DataError, UnknownSymbol, UsageError
from lakehouse.forecasting import walkforward
from lakehouse.models import registry, warehouse_data
from lakehouse.models.backfill import backfill
from lakehouse.models.inference import PredictionReport, predict
from lakehouse.models.ledger import Origin, price_rows, write
from lakehouse.models.reproduce import _require_snapshots, reproduce
from lakehouse.models.retention import release_snapshots
from lakehouse.models.scoring import ScoreReport, score
from lakehouse.models.training import TrainingReport, train
from lakehouse.platform import Platform
from lakehouse.settings import Settings

SYMBOLS = {"AAPL", "FB", "GOOG", "IBM", "MSFT"}
LAST_DAY = dt.date(2013, 3, 1)
BACKFILLED = (dt.date(2012, 11, 1), dt.date(2013, 1, 31))
DRIFT_VERSION = "served-drift-1"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A stack of its own, because these tests change the lake's past."""
    from flows.opened import opened
    from lakehouse.landing.ingest import ingest
    from lakehouse.landing.request import IngestRequest
    from lakehouse.warehouse.transform import transform

    own = Settings(
        home=tmp_path_factory.mktemp("forecasting"),
        forecast={"folds": 2, "backfill_refit_days": 21},
        _env_file=None,
    )
    with opened(own) as platform:
        ensure_tables(platform.lake)
        ingest(platform, IngestRequest(source="sample"))
        transform(platform)
        yield platform


# Each fixture is a step in the home's life and asks for those before it, so that tests may run in
# any order, or alone.


@dataclass(frozen=True)
class Untrained:
    """What there was before the first training."""

    refusal: str
    dry_run: TrainingReport
    champion: object
    decisions: list[dict]


@pytest.fixture(scope="module")
def untrained(home: Platform) -> Untrained:
    with pytest.raises(UsageError) as refusal:
        predict(home)
    report = train(home, dry_run=True)
    champion = registry.champion(home.models)
    return Untrained(str(refusal.value), report, champion, rows(home, GATE_DECISIONS))


@pytest.fixture(scope="module")
def training(home: Platform, untrained: Untrained) -> TrainingReport:
    return train(home)


# Dies as by kill -9, with the runs and models written, before a version is registered.
KILLED_TRAINING = """
import os, signal, sys
from lakehouse.models import registry
from lakehouse.models.training import train
from flows.opened import opened
from lakehouse.settings import Settings
registry.register = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
with opened(Settings(home=sys.argv[1], forecast={"folds": 2}, _env_file=None)) as platform:
    train(platform, force=True)
"""


@pytest.fixture(scope="module")
def killed(home: Platform, training: TrainingReport) -> None:
    command = [sys.executable, "-c", KILLED_TRAINING, str(home.settings.home)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL


@pytest.fixture(scope="module")
def again(home: Platform, training: TrainingReport, killed: None) -> TrainingReport:
    return train(home, force=True)


@pytest.fixture(scope="module")
def prediction(home: Platform, training: TrainingReport) -> PredictionReport:
    return predict(home)


@dataclass(frozen=True)
class Scored:
    """Forecasts for the past, and the score."""

    backfill: PredictionReport
    report: ScoreReport
    measured: list[dict]


@pytest.fixture(scope="module")
def history(home: Platform, prediction: PredictionReport) -> Scored:
    simulated = backfill(home, *BACKFILLED)
    drift_forecasts_come_due(home)
    report = score(home)
    return Scored(simulated, report, rows(home, FEATURE_DRIFT))


def drift_forecasts_come_due(home: Platform) -> None:
    """Put forecasts into the ledger that a served drift would have made a quarter ago."""
    with connect(home.settings) as warehouse:
        dataset = warehouse_data.read_dataset(warehouse)
    day = dataset.dates[-5 * 60]
    model = walkforward.fit(dataset, "drift", dataset.labels_before(day), home.settings.forecast)
    frame = dataset.frame[dataset.dates == day].reset_index(drop=True)
    origin = Origin(home.models.name, DRIFT_VERSION, None, simulated=False)
    outputs = model.predict(frame[model.columns_]), model.drift(frame)
    made = price_rows(frame, *outputs, origin, open_days={}, closed_days={})
    assert write(home.lake, made, commit_id="served drift") > 0


@pytest.fixture(scope="module")
def released(
    home: Platform, training: TrainingReport, again: TrainingReport
) -> list[tuple[str, ...]]:
    """What maintenance lets go within the limits, at once, and the second time."""
    limits = home.settings.maintenance.model_copy(update={"keep_rejected_days": 0})
    now = Platform(home.settings.model_copy(update={"maintenance": limits}))
    names = [f"{home.models.name}-v{r.challenger_version}" for r in (training, again)]
    assert set(names) <= set(tags(load_table(home.lake, QUOTES)))
    found = [release_snapshots(platform) for platform in (home, now, now)]
    # They have not expired yet, so it still can be reproduced.
    version = registry.get_version(home.models, again.challenger_version)
    _require_snapshots(home.lake, again.snapshots, version)
    return found


def rows(platform: Platform, definition) -> list[dict]:
    return load_table(platform.lake, definition).scan().to_arrow().to_pylist()


def test_nothing_serves_before_training(untrained: Untrained) -> None:
    assert "weekahead train" in untrained.refusal


def test_dry_run_decides_and_changes_nothing(untrained: Untrained) -> None:
    report = untrained.dry_run
    assert report.dry_run and report.run_id is None and report.champion_version is None
    assert untrained.champion is None
    (decision,) = untrained.decisions
    assert decision["dry_run"] and not decision["promoted"]
    assert decision["reason"] == report.reason


def test_training_registers_a_champion_that_never_loses_much(
    home: Platform, training: TrainingReport
) -> None:
    version = registry.require_champion(home.models)
    assert str(version.version) == training.champion_version
    assert registry.version_kind(version) == training.champion_kind
    figures = {found.kind: found.figures for found in training.candidates}[training.champion_kind]
    for h in range(1, 6):
        assert figures[f"mae_vs_last_price_h{h}"] <= 1.002
        assert figures[f"coverage_80_h{h}"] == pytest.approx(0.80, abs=0.03)
        assert figures[f"coverage_95_h{h}"] == pytest.approx(0.95, abs=0.02)


def test_runs_hold_what_it_takes_to_judge_them(home: Platform, training: TrainingReport) -> None:
    client = home.models.client
    files = {found.path for found in client.list_artifacts(training.run_id)}
    assert {"metrics.csv", "validation_scheme.csv", "validation_scheme.png"} <= files
    run = client.get_run(training.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["folds"] == "2"
    assert str(training.snapshots["raw.quotes"]) in run.data.tags["weekahead.snapshots"]
    (dataset,) = run.inputs.dataset_inputs
    assert str(training.snapshots["raw.quotes"]) in dataset.dataset.source
    assert len(training.candidates) == 6
    version = registry.require_champion(home.models)
    of_version = {found.path for found in client.list_artifacts(version.run_id)}
    assert {"reliability.csv", "reliability.png"} <= of_version
    metrics = client.get_run(version.run_id).data.metrics
    assert metrics["rank_ic_low_h5"] < metrics["rank_ic_h5"] < metrics["rank_ic_high_h5"]
    assert metrics["brier_move_h5"] < metrics["brier_base_move_h5"]
    assert "Rank IC" in version.description


def test_artifacts_are_in_the_object_store_with_a_signature(
    home: Platform, training: TrainingReport
) -> None:
    from mlflow.models import get_model_info

    store = boto3.client(
        "s3",
        endpoint_url=home.settings.s3.endpoint,
        aws_access_key_id=home.settings.s3.access_key,
        aws_secret_access_key=home.settings.s3.secret_key.get_secret_value(),
        region_name=home.settings.s3.region,
    )
    listed = store.list_objects_v2(Bucket=home.settings.s3.artifacts_bucket, Prefix="mlflow/")
    keys = [item["Key"] for item in listed["Contents"]]
    assert any(key.endswith("model.skops") for key in keys)
    assert not any(key.endswith((".pkl", ".pickle")) for key in keys)
    info = get_model_info(f"models:/{home.models.name}@{registry.ALIAS}")
    assert "volatility_21" in info.signature.inputs.input_names()
    assert "upper_95_5" in info.signature.outputs.input_names()


def test_snapshots_that_a_version_saw_are_tagged(home: Platform, training: TrainingReport) -> None:
    catalog = home.lake
    name = f"{home.models.name}-v{training.champion_version}"
    for table, snapshot in training.snapshots.items():
        if snapshot is not None:
            assert tags(load_table(catalog, BY_NAME[table]))[name] == snapshot


def test_unchanged_training_is_skipped(home: Platform, training: TrainingReport) -> None:
    again = train(home)
    assert again.skipped
    assert again.champion_version == training.champion_version
    assert again.data_digest == training.data_digest
    assert {c.kind: c.figures for c in again.candidates} == {
        c.kind: c.figures for c in training.candidates
    }


def test_champion_forecasts_every_symbol_and_horizon(
    home: Platform, training: TrainingReport, prediction: PredictionReport
) -> None:
    assert (prediction.forecasts, prediction.new, prediction.stale) == (25, 25, ())
    ledger = [
        row
        for row in rows(home, FORECASTS)
        if row["model_version"] == training.champion_version and not row["simulated"]
    ]
    assert {(row["symbol"], row["horizon"]) for row in ledger} == {
        (symbol, horizon) for symbol in SYMBOLS for horizon in range(1, 6)
    }
    for row in ledger:
        assert row["as_of_date"] == LAST_DAY < row["target_date"]
        assert row["feature_snapshot"] == training.snapshots["raw.quotes"]
        edges = [row[n] for n in ("lower_95", "lower_80", "point", "upper_80", "upper_95")]
        assert edges == sorted(edges)
    apple = [row for row in ledger if row["symbol"] == "AAPL"]
    assert {row["last_close"] for row in apple} == {430.47}


def test_forecasting_again_adds_nothing(home: Platform, prediction: PredictionReport) -> None:
    before = rows(home, FORECASTS)
    assert predict(home).new == 0
    assert rows(home, FORECASTS) == before


def test_unknown_symbol_is_named(home: Platform, prediction: PredictionReport) -> None:
    with pytest.raises(UnknownSymbol, match="NOPE"):
        predict(home, symbols=("AAPL", "NOPE"))


def test_backfill_is_simulated_idempotent_and_scored(home: Platform, history: Scored) -> None:
    first, report = history.backfill, history.report
    assert first.simulated and first.new == first.forecasts > 5 * 5 * 55
    assert backfill(home, *BACKFILLED).new == 0
    for row in rows(home, FORECASTS):
        if row["simulated"]:
            trained = dt.date.fromisoformat(row["model_version"][-10:])
            assert trained <= row["as_of_date"]
    judged = [row for row in report.performance if row.simulated]
    assert {row.horizon for row in judged} == {1, 2, 3, 4, 5}
    assert sum(row.forecasts for row in judged) == first.forecasts
    for row in judged:
        assert 0.9 < row.relative_mae_last_price < 1.1
        assert row.coverage_95 > row.coverage_80 > 0.6
    assert len(history.measured) == len(report.drift) > 20
    assert score(home, strict=True).exit_code == (1 if report.warnings else 0)
    assert rows(home, FEATURE_DRIFT) == history.measured


def test_a_served_drift_is_exactly_as_good_as_drift(home: Platform, history: Scored) -> None:
    """One definition: what the marts call drift is what the candidate of that name says."""
    for version, simulated in ((DRIFT_VERSION, False), ("drift", True)):
        found = {
            row.horizon: row.relative_mae_drift
            for row in history.report.performance
            if (row.version, row.simulated) == (version, simulated)
        }
        assert found == dict.fromkeys(range(1, 6), 1.0), version
    query = (
        "SELECT uniqExact(horizon), min(relative_mae_drift), max(relative_mae_drift) "
        "FROM marts.fct_model_performance WHERE model_version LIKE '%-drift-%'"
    )
    with connect(home.settings) as warehouse:
        assert warehouse.query(query).result_rows == [(5, 1.0, 1.0)]


def test_challenger_on_the_same_data_does_not_replace_the_champion(
    home: Platform, training: TrainingReport, again: TrainingReport
) -> None:
    assert again.action == "keep"
    assert again.champion_version == training.champion_version
    assert again.challenger_version not in (None, training.champion_version)
    version = registry.get_version(home.models, again.challenger_version)
    assert version.tags["weekahead.gate"] == "rejected"
    assert version.tags["weekahead.gate_reason"] == again.reason


def test_a_killed_training_leaves_nothing_that_serves(
    home: Platform, training: TrainingReport, again: TrainingReport
) -> None:
    client = home.models.client
    runs = client.search_runs([home.models.experiment], "attributes.run_name = 'training'")
    assert [run.info.status for run in runs] == ["FINISHED", "KILLED", "FINISHED"]
    versions = client.search_model_versions(f"name='{home.models.name}'")
    assert {str(found.run_id) for found in versions}.isdisjoint({runs[1].info.run_id})
    # The next training got the same figures as if nothing had happened.
    assert again.data_digest == training.data_digest
    assert {c.kind: c.figures for c in again.candidates} == {
        c.kind: c.figures for c in training.candidates
    }


def test_snapshots_of_rejected_versions_are_let_go_and_those_of_champions_kept(
    home: Platform,
    training: TrainingReport,
    again: TrainingReport,
    released: list[tuple[str, ...]],
) -> None:
    assert released == [(), (again.challenger_version,), ()]
    kept = set(tags(load_table(home.lake, QUOTES)))
    assert f"{home.models.name}-v{training.challenger_version}" in kept
    assert f"{home.models.name}-v{again.challenger_version}" not in kept
    version = registry.get_version(home.models, again.challenger_version)
    with pytest.raises(DataError, match=r"never served.*released its snapshots"):
        _require_snapshots(home.lake, {"raw.quotes": 1}, version)


def test_a_source_that_the_champion_never_saw_is_not_forecast_and_asks_for_a_new_fit(
    home: Platform, training: TrainingReport, again: TrainingReport
) -> None:
    client = home.models.client
    name, version = home.models.name, training.champion_version
    client.set_model_version_tag(name, version, "weekahead.sources", '["elsewhere"]')
    with pytest.raises(UsageError, match="trained on elsewhere, not on sample"):
        predict(home)
    report = train(home, force=True, dry_run=True)
    assert report.action == "refresh"
    assert "it has never seen sample" in report.reason
    client.set_model_version_tag(name, version, "weekahead.sources", '["sample"]')
    assert predict(home).unseen == ()


def test_two_forecasts_at_once_leave_the_ledger_of_the_first(
    home: Platform, prediction: PredictionReport
) -> None:
    before = rows(home, FORECASTS)
    catalog = home.lake
    served = f"simulated == false and model_version == '{prediction.model_version}'"
    ledger = load_table(catalog, FORECASTS).scan(row_filter=served).to_arrow()
    day = pc.add(ledger["as_of_date"], pa.scalar(dt.timedelta(days=30)).cast(pa.duration("s")))
    day = day.cast(pa.date32())
    late = ledger.set_column(ledger.column_names.index("as_of_date"), "as_of_date", day)
    other = late.set_column(
        late.column_names.index("point"), "point", pc.multiply(late["point"], 2.0)
    )
    with ThreadPoolExecutor(2) as pool:
        new = list(
            pool.map(
                lambda rows: write(Platform(home.settings).lake, rows, commit_id="race"),
                (late, other),
            )
        )
    assert sorted(new) == [0, ledger.num_rows]
    winner = late if new[0] else other
    found = [row for row in rows(home, FORECASTS) if row not in before]
    assert sorted(row["point"] for row in found) == sorted(winner["point"].to_pylist())
    load_table(catalog, FORECASTS).delete(f"as_of_date >= '{min(day.to_pylist())}'")
    assert len(rows(home, FORECASTS)) == len(before)


def test_rollback_and_back_again(
    home: Platform,
    training: TrainingReport,
    again: TrainingReport,
    released: list[tuple[str, ...]],
) -> None:
    other = again.challenger_version
    registry.promote(home.models, other)
    assert registry.rollback(home.models).serves == training.champion_version
    with pytest.raises(UsageError, match="No version served before"):
        registry.rollback(home.models)
    with pytest.raises(UsageError, match="has no version 99"):
        registry.rollback(home.models, "99")
    assert registry.rollback(home.models, other).replaced == training.champion_version
    back = registry.rollback(home.models, training.champion_version)
    assert back.serves == training.champion_version


def test_reproduced_after_a_correction_a_late_split_and_maintenance(
    home: Platform, training: TrainingReport, again: TrainingReport, history: Scored
) -> None:
    catalog = home.lake
    key = {"source": "sample", "symbol": "IBM"}
    corrected = {"trade_date": dt.date(2005, 6, 1), "open": 1.0, "high": 9.0, "low": 1.0}
    bar = pa.Table.from_pylist([key | corrected | {"close": 7.0, "volume": 1}])
    split = pa.Table.from_pylist(
        [key | {"ex_date": dt.date(2006, 6, 1), "ratio_before": 1.0, "ratio_after": 3.0}]
    )
    assert merge(catalog, QUOTES, bar, commit_id="correction").corrected == 1
    assert merge(catalog, SPLITS, split, commit_id="late split").new == 1
    # A table that was empty at training is empty in the scratch build, whatever it holds now.
    assert training.snapshots["raw.dividends"] is None
    dividend = pa.Table.from_pylist(
        [key | {"record_date": dt.date(2007, 5, 1), "amount": 0.4, "currency": "USD"}]
    )
    assert merge(catalog, DIVIDENDS, dividend, commit_id="late dividend").new == 1
    for definition in (QUOTES, SPLITS, DIVIDENDS):
        maintain(
            catalog,
            home.settings.s3,
            definition,
            keep=dt.timedelta(0),
            orphan_age=dt.timedelta(0),
            small_files=4,
        )

    report = reproduce(home, training.champion_version)
    assert report.differences == ()
    assert report.identical and report.exit_code == 0
    assert report.data_digest == training.data_digest
    assert report.figures > 50
    with connect(home.settings, "admin") as warehouse:
        left = warehouse.query("SELECT name FROM system.databases WHERE name LIKE 'scratch%'")
        assert left.result_rows == []


def test_unknown_version_cannot_be_reproduced(home: Platform, training: TrainingReport) -> None:
    with pytest.raises(UsageError, match="has no version 99"):
        reproduce(home, "99")


def test_champion_stored_by_other_code_is_a_clear_error(
    home: Platform, training: TrainingReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lakehouse.forecasting.candidates.drift import Drift

    registry.require_champion(home.models)

    def needs_more(self, X):
        return self.attribute_of_a_later_version_

    with monkeypatch.context() as later:
        later.setattr(Drift, "predict", needs_more)
        with pytest.raises(DataError, match="weekahead train"):
            predict(home)
