"""The statements that attach the lake."""

from catalog.clickhouse import lake_database
from catalog.settings import CatalogSettings, S3Settings

S3 = S3Settings(
    endpoint="http://127.0.0.1:8333",
    access_key="writer",
    secret_key="writer-secret",  # type: ignore[arg-type]
    reader_access_key="reader",
    reader_secret_key="it's",  # type: ignore[arg-type]
)


def test_clickhouse_gets_the_reader_only() -> None:
    catalog = CatalogSettings(uri="http://127.0.0.1:8181/", credential="writer:writer-secret")  # type: ignore[arg-type]
    statement = lake_database(catalog, S3)
    assert "writer" not in statement
    assert "DataLakeCatalog('http://127.0.0.1:8181/v1', 'reader', 'it\\'s')" in statement
    assert "catalog_credential = 'reader:it\\'s'" in statement
    assert "storage_endpoint = 'http://127.0.0.1:8333'" in statement


def test_a_readers_own_credential_wins() -> None:
    catalog = CatalogSettings(uri="http://127.0.0.1:8181", reader_credential="id:key")  # type: ignore[arg-type]
    assert "catalog_credential = 'id:key'" in lake_database(catalog, S3)
