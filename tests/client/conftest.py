"""A server for the client's tests, and both kinds of client."""

import subprocess
import sys

import pytest

from tests.client.kinds import KINDS
from tests.client.virtual import Virtual


@pytest.fixture(scope="session")
def serving(tmp_path_factory):
    """The URLs of a real server in a process of its own: TCP, and a Unix socket."""
    path = tmp_path_factory.mktemp("run") / "workq.sock"
    command = [sys.executable, "-m", "workq", "--listen", "127.0.0.1:0", "--listen", f"unix:{path}"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        told = [process.stderr.readline() for _ in range(2)]
        port = told[0].rsplit(":", 1)[1].strip()
        yield f"workq://127.0.0.1:{port}", f"workq+unix://{path}"
        process.terminate()
        process.communicate()


@pytest.fixture
def virtual(monkeypatch):
    """Time that passes by itself, and a server in it."""
    return Virtual(monkeypatch)


@pytest.fixture(params=KINDS)
def kind(request):
    """A client of each kind, behind one face."""
    return KINDS[request.param]


@pytest.fixture
def connected(kind):
    """Makes clients, and closes them."""
    made = []

    def make(*args, **kwargs):
        made.append(kind(*args, **kwargs))
        return made[-1]

    yield make
    for client in made:
        client.close()
