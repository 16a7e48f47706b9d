"""Fixtures: real services, started once per session, each in its own home directory."""

import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings

from lakehouse.settings import Settings
from tests.homes import copied, make_run, prepared, settings_of

# Disable telemetry, and keep settings of the developer's shell away from the tests.
for name in list(os.environ):
    if name.startswith(("WEEKAHEAD_", "PREFECT_")) and not name.startswith("WEEKAHEAD_BENCH"):
        del os.environ[name]
os.environ.update(
    DO_NOT_TRACK="1",
    RUNTIME__DLTHUB_TELEMETRY="false",
    PREFECT_SERVER_ANALYTICS_ENABLED="false",
    # Most tests need no good models; test_ways.py trains with the defaults.
    WEEKAHEAD_FORECAST__FOLDS="2",
)

# The duration of an example depends on the load of the machine.
hypothesis_settings.register_profile("weekahead", deadline=None)
hypothesis_settings.load_profile("weekahead")

# As-of dates of the back-filled forecasts, all of which have come due.
BACKFILLED = (date(2012, 10, 1), date(2012, 12, 31))


# Tests that share a process, by fixture or folder. The slowest groups start first.
GROUPS = (
    ("airflow", "integration/airflow/test_runs"),
    ("airflow", "integration/airflow/test_pages"),
    ("bridge", "integration/airflow/test_bridge"),
    ("main", "integration/test_pipeline"),
    ("stack", "integration/test_local_stack"),
    ("scored", "scored"),
    ("scored", "pipeline"),
    ("superset", "e2e"),
    ("forecasting", "integration/forecasting"),
    ("chserver", "integration/chserver"),
    ("services", "integration/test_services"),
    ("warehouse", "integration/warehouse"),
    ("warehouse", "stack"),
    ("lake", "lake"),
    ("together", "unit/test_groups"),
)


# Must run before xdist's own hook, which encodes the groups in the tests' names.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Group the tests for ``--dist loadgroup``, so that each service starts once."""
    ranks = {}
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        for rank, (group, sign) in enumerate(GROUPS):
            if sign in fixtures or f"tests/{sign}" in item.nodeid:
                item.add_marker(pytest.mark.xdist_group(group))
                ranks[item] = rank
                break
    items.sort(key=lambda item: ranks.get(item, len(GROUPS)))


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that all test processes of this session share."""
    own = tmp_path_factory.getbasetemp()
    return (own.parent if os.environ.get("PYTEST_XDIST_WORKER") else own) / "templates"


@pytest.fixture(scope="session")
def run_home(templates: Path) -> Path:
    """A home after ``weekahead run``; copy it, do not use it."""
    return prepared(templates / "run" / "home", make_run)


@pytest.fixture(scope="session")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """SeaweedFS alone (S3 and Iceberg REST catalog), with empty tables."""
    from catalog.connect import ensure_tables, open_catalog
    from deploy.local import LAKE, running

    home = tmp_path_factory.mktemp("lake")
    with running(settings_of(home), needs=frozenset({LAKE})) as settings:
        ensure_tables(open_catalog(settings.catalog, settings.s3))
        yield settings


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """SeaweedFS and the embedded ClickHouse server, with empty tables."""
    from catalog.connect import ensure_tables, open_catalog
    from deploy.local import running

    with running(settings_of(tmp_path_factory.mktemp("stack"))) as settings:
        ensure_tables(open_catalog(settings.catalog, settings.s3))
        yield settings


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory: pytest.TempPathFactory, run_home: Path) -> Iterator[Settings]:
    """A separate stack with the sample ingested and transformed, where drift serves."""
    from deploy.local import running

    home = copied(run_home, tmp_path_factory.mktemp("pipeline") / "home")
    with running(settings_of(home)) as settings:
        yield settings


@pytest.fixture(scope="session")
def scored(pipeline: Settings) -> Settings:
    """The pipeline with a quarter of forecasts that came due."""
    from lakehouse import usecases

    usecases.predict(pipeline, as_of=BACKFILLED, publish=False)
    usecases.score(pipeline)
    return pipeline
