"""Fixtures: real services, started once per session, each in its own home directory."""

import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings

from lakehouse.platform import Platform
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
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """SeaweedFS alone (S3 and Iceberg REST catalog), with empty tables."""
    from catalog.connect import ensure_tables
    from deploy.local import LAKE
    from flows.opened import opened

    home = tmp_path_factory.mktemp("lake")
    with opened(settings_of(home), frozenset({LAKE})) as platform:
        ensure_tables(platform.lake)
        yield platform


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """SeaweedFS and the embedded ClickHouse server, with empty tables."""
    from catalog.connect import ensure_tables
    from flows.opened import opened

    with opened(settings_of(tmp_path_factory.mktemp("stack"))) as platform:
        ensure_tables(platform.lake)
        yield platform


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory: pytest.TempPathFactory, run_home: Path) -> Iterator[Platform]:
    """A separate stack with the sample ingested and transformed, where drift serves."""
    from flows.opened import opened

    home = copied(run_home, tmp_path_factory.mktemp("pipeline") / "home")
    with opened(settings_of(home)) as platform:
        yield platform


@pytest.fixture(scope="session")
def scored(pipeline: Platform) -> Platform:
    """The pipeline with a quarter of forecasts that came due."""
    from lakehouse import usecases

    usecases.predict(pipeline, as_of=BACKFILLED, publish=False)
    usecases.score(pipeline)
    return pipeline
