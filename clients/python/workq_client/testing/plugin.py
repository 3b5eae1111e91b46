"""The pytest plug-in: the fixtures `workq_server` and `workq_client`.

pytest loads it wherever this package is installed: it imports nothing of the server.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from workq_client import Client
from workq_client.testing import Server


@pytest.fixture
def workq_server() -> Iterator[Server]:
    """A workq server of this test alone, with a clock that jumps: `workq_client.testing.Server`."""
    with Server() as server:
        yield server


@pytest.fixture
def workq_client(workq_server: Server) -> Iterator[Client]:
    """A `workq_client.Client` of `workq_server`."""
    with Client(workq_server.url) as client:
        yield client
