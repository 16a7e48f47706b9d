"""How ClickHouse and MLflow are connected to; ``lakehouse.platform`` opens them."""
