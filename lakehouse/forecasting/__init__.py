"""Modelling: candidates, walk-forward, intervals, metrics, gate.

Pure functions of frames and arrays; ``lakehouse.models`` connects them to services.
"""
