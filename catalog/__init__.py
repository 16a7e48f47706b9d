"""The Iceberg side of the lakehouse: catalog, table definitions, commits, snapshots, readers.

This package knows Iceberg, S3, DuckDB and ClickHouse; it knows nothing about models or Prefect.
"""
