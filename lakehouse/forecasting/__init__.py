"""Modelling: candidates, walk-forward, intervals, metrics, gate.

Functions of frames and arrays alone; ``lakehouse.models`` connects them to the world.
"""
