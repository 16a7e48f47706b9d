"""One self-contained HTML file: forecasts, how good they are, and the data's health."""

from lakehouse.report.page import write_report

__all__ = ["write_report"]
