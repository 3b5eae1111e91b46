"""The pytest plug-in: the fixture `workq_server`.

pytest loads it wherever this package is installed, so it imports nothing that takes time.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from workq_client.testing import Server


@pytest.fixture
def workq_server() -> Iterator[Server]:
    """A workq server of this test alone, with a clock that jumps: `workq_client.testing.Server`."""
    with Server() as server:
        yield server
