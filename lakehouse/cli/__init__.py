"""The command line: ``weekahead``."""

from lakehouse.cli.main import main

__all__ = ["main"]
