"""weekahead: from stock quotes to honest week-ahead forecasts on an open lakehouse.

Progress goes to the logger ``weekahead``; the command line and Prefect show it.
"""

import logging

__version__ = "0.2.0"

# Loggers drop everything below WARNING by default; progress messages are INFO.
logging.getLogger("weekahead").setLevel(logging.INFO)
