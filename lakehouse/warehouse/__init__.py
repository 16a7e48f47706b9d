"""The ClickHouse warehouse: connect to it, attach the lake, and build the dbt project."""
