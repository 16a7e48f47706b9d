"""Small stacks for tests of operations: the core alone, each under a project of its own."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from tests.compose.stack import FILES, Stack, environment

BASE_IMAGE = os.environ.get("BASE_IMAGE", "weekahead/base:bookworm")
# One more compose file, where several people share an engine and so must not share names of images.
EXTRA = os.environ.get("EXTRA_COMPOSE_FILE")
PAGES = ("prefect", "mlflow")


def small_stack(project: str, *files: str) -> Stack:
    """The core with further compose files; not started yet."""
    ports = {page: _free_port() for page in PAGES}
    chosen = [*FILES, *files, *([EXTRA] if EXTRA else [])]
    variables = environment(project, ports, BASE_IMAGE)
    variables |= {"COMPOSE_FILE": ":".join(chosen), "COMPOSE_PROFILES": ""}
    return Stack(project, ports, variables)


@contextmanager
def removed_at_the_end(stack: Stack) -> Iterator[Stack]:
    """Start with nothing, and leave nothing."""
    stack.compose("down", "--volumes", "--remove-orphans")
    if not EXTRA:
        stack.compose("build", timeout=3600)
    try:
        yield stack
    finally:
        if not os.environ.get("KEEP_CONTAINERS"):
            stack.compose("down", "--volumes", "--remove-orphans")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])
