"""Small stacks for tests of operations: the core alone, each under a project of its own."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from tests.compose.stack import FILES, Stack, environment, free_ports, preflight

PAGES = ("prefect", "mlflow")


def small_stack(project: str, *files: str) -> Stack:
    """The core with further compose files; not started yet."""
    ports = dict(zip(PAGES, free_ports(len(PAGES)), strict=True))
    variables = environment(project, ports)
    variables |= {"COMPOSE_FILE": ":".join([*FILES, *files]), "COMPOSE_PROFILES": ""}
    return Stack(project, ports, variables)


@contextmanager
def removed_at_the_end(stack: Stack) -> Iterator[Stack]:
    """Start with nothing, and leave nothing."""
    preflight()
    stack.compose("down", "--volumes", "--remove-orphans")
    stack.compose("build", timeout=3600)
    try:
        yield stack
    finally:
        if not os.environ.get("KEEP_CONTAINERS"):
            stack.compose("down", "--volumes", "--remove-orphans")
