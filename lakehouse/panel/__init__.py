"""Bars of many symbols over trading dates: dataset, splits in time, future dates."""
