"""What all tests share: repeatable random tests, and programs that must be there under CI."""

import os
import shutil
from collections.abc import Callable

import pytest
from hypothesis import settings

# The same examples in every run; HYPOTHESIS_PROFILE=explore looks for new ones.
settings.register_profile("repeat", derandomize=True, deadline=None, database=None)
settings.register_profile("explore", deadline=None, max_examples=2000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeat"))


@pytest.fixture(scope="session")
def program() -> Callable[[str], str]:
    """Find a program that a test calls: where it is missing, the test skips, but fails under CI."""

    def find(name: str) -> str:
        path = shutil.which(name)
        if path is None and os.environ.get("CI"):
            pytest.fail(f"{name} is missing: add its package to .ci/run")
        if path is None:
            pytest.skip(f"{name} is not installed")
        return path

    return find
