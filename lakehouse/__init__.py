"""weekahead: from stock quotes to honest week-ahead forecasts on an open lakehouse."""

__version__ = "0.1.0"
