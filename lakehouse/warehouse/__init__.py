"""The ClickHouse warehouse: connections, attachment of the lake, and builds of the dbt project."""
