"""The ClickHouse HTTP interface over chDB, the ClickHouse engine in one process.

Start it with ``python -m deploy.chserver``; README.md in this folder describes its features, how it
is secured and where it differs from a real ClickHouse server.
"""
