"""What all tests share: repeatable random tests, and what the machine must have under CI."""

import os
import shutil
import signal
import socket
from collections.abc import Callable
from typing import NoReturn

import pytest
from hypothesis import settings

# Who starts the tests in the background, or by nohup, has them ignore signals, and so every program
# that they start; but these are to end by them.
for _number in (signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(
            _number, signal.default_int_handler if _number == signal.SIGINT else signal.SIG_DFL
        )

# The same examples in every run; HYPOTHESIS_PROFILE=explore looks for new ones.
settings.register_profile("repeat", derandomize=True, deadline=None, database=None)
settings.register_profile("explore", deadline=None, max_examples=2000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeat"))


def lack(what: str, remedy: str) -> NoReturn:
    """End a test for want of something: it skips, but under CI, where nothing may be left out
    unnoticed, it fails and says what to do."""
    if os.environ.get("CI"):
        pytest.fail(f"{what}: {remedy}")
    pytest.skip(what)


@pytest.fixture(scope="session")
def program() -> Callable[[str], str]:
    """Find a program that a test calls; without it, the test has a `lack`."""

    def find(name: str) -> str:
        path = shutil.which(name)
        if path is None:
            lack(f"{name} is not installed", "add its package to .ci/run")
        return path

    return find


@pytest.fixture(scope="session")
def ipv6() -> None:
    """The machine's IPv6, which a test that asks for this uses."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        lack("no IPv6 here", "run CI on a machine that has ::1")
