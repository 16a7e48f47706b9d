"""How services run: ``local`` keeps them on this machine, ``chserver`` is ClickHouse over HTTP.

The other folders are configuration and images for real servers.
"""

from pathlib import Path

FOLDER = Path(__file__).resolve().parent
"""This folder, in a checkout and in an installed wheel alike."""
