"""The command line: ``weekahead``."""

from flows.cli.main import main

__all__ = ["main"]
