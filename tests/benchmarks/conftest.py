"""What is measured is what people run: default settings."""

import os

del os.environ["WEEKAHEAD_FORECAST__FOLDS"]
