"""Every test of a command has a server of its own."""

import pytest

from tests.commands.harness import Server


@pytest.fixture
def server() -> Server:
    """A server without jobs, at midnight of 1 January 2030."""
    return Server()
