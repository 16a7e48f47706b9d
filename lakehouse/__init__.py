"""weekahead: from stock quotes to honest week-ahead forecasts on an open lakehouse.

Progress goes to the logger ``weekahead``; the command line and Prefect show it.
"""

import logging

__version__ = "0.1.0"

# A logger is silent below WARNING unless its level is lowered; progress is meant to be seen.
logging.getLogger("weekahead").setLevel(logging.INFO)
