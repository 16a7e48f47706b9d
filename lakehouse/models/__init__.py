"""What is done with models: trained, registered, served, scored, reproduced.

These connect the modelling of ``lakehouse.forecasting`` to ClickHouse, MLflow and the lake.
"""
