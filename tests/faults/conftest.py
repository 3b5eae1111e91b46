"""What the machine must have for faults to be made."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

from tests.conftest import lack


@pytest.fixture(scope="session")
def tracer(program: Callable[[str], str]) -> str:
    """strace, where it may trace."""
    path = program("strace")
    done = subprocess.run([path, "-o", "/dev/null", "true"], capture_output=True, check=False)
    if done.returncode:
        lack("strace may not trace here", "run CI where ptrace is allowed")
    return path
