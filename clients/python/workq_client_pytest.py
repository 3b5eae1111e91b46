"""The pytest plug-in of workq_client: the fixtures `workq_server` and `workq_client`.

pytest loads it wherever the client is installed. So it stands outside the package and imports
nothing of it before a test asks for a fixture: other people's tests start as fast as before.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from workq_client import Client
    from workq_client.testing import Server


@pytest.fixture
def workq_server() -> Iterator[Server]:
    """A workq server of this test alone, with a clock that jumps: `workq_client.testing.Server`."""
    from workq_client.testing import Server

    with Server() as server:
        yield server


@pytest.fixture
def workq_client(workq_server: Server) -> Iterator[Client]:
    """A `workq_client.Client` of `workq_server`."""
    from workq_client import Client

    with Client(workq_server.url) as client:
        yield client
