"""Fixtures: real services, started once a session, each in a home directory of its own."""

import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from lakehouse.settings import Settings

# Telemetry stays off, and settings of the developer's shell do not reach the tests.
for name in list(os.environ):
    if name.startswith(("WEEKAHEAD_", "PREFECT_")) and not name.startswith("WEEKAHEAD_BENCH"):
        del os.environ[name]
os.environ.update(
    DO_NOT_TRACK="1",
    RUNTIME__DLTHUB_TELEMETRY="false",
    PREFECT_SERVER_ANALYTICS_ENABLED="false",
)

# As-of dates of the forecasts that were made afterwards, and have come due.
BACKFILLED = (date(2012, 10, 1), date(2012, 12, 31))


def _settings(home: Path, **sections: object) -> Settings:
    return Settings(home=home, _env_file=None, **sections)  # type: ignore[call-arg, arg-type]


@pytest.fixture(scope="session")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """SeaweedFS alone (S3 and Iceberg REST catalog), with empty tables."""
    from catalog.connect import ensure_tables, open_catalog
    from deploy.local import running

    # An address for the warehouse, so that no warehouse is started.
    home = tmp_path_factory.mktemp("lake")
    with running(_settings(home, clickhouse={"url": "http://127.0.0.1:9"})) as settings:
        ensure_tables(open_catalog(settings.catalog, settings.s3))
        yield settings


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """SeaweedFS and the embedded ClickHouse server, with empty tables."""
    from catalog.connect import ensure_tables, open_catalog
    from deploy.local import running

    with running(_settings(tmp_path_factory.mktemp("stack"))) as settings:
        ensure_tables(open_catalog(settings.catalog, settings.s3))
        yield settings


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A stack of its own in which the sample is ingested and transformed."""
    from catalog.connect import ensure_tables, open_catalog
    from deploy.local import running
    from lakehouse.landing.ingest import IngestRequest, ingest
    from lakehouse.warehouse.client import attach_lake
    from lakehouse.warehouse.transform import transform

    with running(_settings(tmp_path_factory.mktemp("pipeline"))) as settings:
        ensure_tables(open_catalog(settings.catalog, settings.s3))
        ingest(settings, IngestRequest(source="sample"))
        attach_lake(settings)
        transform(settings)
        yield settings


@pytest.fixture(scope="session")
def scored(pipeline: Settings) -> Settings:
    """The pipeline with a champion, its forecasts, and a quarter of forecasts that came due."""
    from lakehouse import usecases

    usecases.train(pipeline)
    usecases.predict(pipeline)
    usecases.predict(pipeline, as_of=BACKFILLED)
    usecases.score(pipeline)
    return pipeline
