"""Forecasts a week ahead: dataset, validation, candidates, intervals, gate, ledger, scoring.

The modelling modules (dataset, validation, candidates, forecaster, intervals, metrics, gate,
development) are functions of frames and arrays alone; training, inference, scoring and reproduce
connect them to ClickHouse, MLflow and the lake.
"""
