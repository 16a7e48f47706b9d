"""One HTML file that shows forecasts, how good they are, and the health of the data."""

from lakehouse.report.page import write_report

__all__ = ["write_report"]
