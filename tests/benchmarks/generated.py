"""``weekahead`` with the generated exchange among its sources; takes the same arguments."""

import sys
from importlib import import_module
from pathlib import Path

import lakehouse.sources as sources

sources.__path__.append(str(Path(__file__).with_name("sources")))
sources.SOURCES = (*sources.SOURCES, "generated")

if __name__ == "__main__":
    sys.exit(import_module("flows.cli.main").main())
