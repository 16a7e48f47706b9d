"""A single HTML file with forecasts, their accuracy, and the health of the data."""

from lakehouse.report.page import write_report

__all__ = ["write_report"]
