"""The whole stack in containers: images built, everything started once, removed at the end."""

from collections.abc import Iterator

import pytest

from tests.compose.stack import Stack, new_stack, removed_at_the_end


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    with removed_at_the_end(new_stack("weekahead-test", profiles="all")) as stack:
        stack.up()
        stack.read_logins()
        yield stack
