"""The life of a model: trained, registered, served, scored, reproduced.

These modules connect ``lakehouse.forecasting`` to ClickHouse, MLflow and the lake.
"""
