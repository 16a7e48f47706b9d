"""Fixtures for tests that write to the lake directly."""

import uuid

import pytest
from pyiceberg.catalog import Catalog

from catalog.connect import TABLE_PROPERTIES
from catalog.tables import QUOTES, TableDefinition
from lakehouse.platform import Platform


@pytest.fixture
def catalog(lake: Platform) -> Catalog:
    """The lake's catalog, opened for writing."""
    return lake.lake


@pytest.fixture
def quotes(catalog: Catalog) -> TableDefinition:
    """A separate table like raw.quotes, so that tests do not see each other's rows."""
    name = f"raw.quotes_{uuid.uuid4().hex[:8]}"
    catalog.create_table(
        name,
        schema=QUOTES.schema,
        partition_spec=QUOTES.partition,
        properties=TABLE_PROPERTIES,
    )
    return TableDefinition(name, QUOTES.schema, QUOTES.key, QUOTES.partition, QUOTES.date_column)
