"""Runs services: ``local`` on this machine; ``chserver`` is ClickHouse's HTTP interface over chDB.

The other folders hold configuration and images for real servers.
"""

from pathlib import Path

FOLDER = Path(__file__).resolve().parent
"""This folder, in a checkout and in an installed wheel alike."""
