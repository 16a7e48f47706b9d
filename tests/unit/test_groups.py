"""Tests that share a service stay in one process, or each process starts it for itself."""

import os

import pytest


def test_groups_reach_what_distributes_the_tests(request: pytest.FixtureRequest) -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:
        assert request.node.nodeid.endswith("@together")
