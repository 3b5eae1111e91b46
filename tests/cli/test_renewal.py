"""Keeping a lease: what the server says to a touch, and what follows."""

import threading
import time

import pytest
import workq_client
from workq_client import Job, LeaseLost, NoReply, NotFound, ShuttingDown

from tests.cli.making import ID
from workq.cli.renewal import Renewal


class Server:
    """What answers touches in turn, the last way for ever."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.touched = []
        self.timeout = 0.0

    def __call__(self, url, *, timeout, connect_timeout):
        """Be the client of a server."""
        self.timeout = timeout
        return self

    def touch(self, job):
        """Answer."""
        self.touched.append(time.monotonic())
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is not None:
            raise answer

    def close(self):
        """Nothing is open."""


@pytest.mark.parametrize(
    "answers, kept",
    [
        ([None], True),
        ([ShuttingDown("so"), NoReply("touch", "so"), None], True),
        ([None, LeaseLost("so")], False),
        ([NotFound("so")], False),
        ([NoReply("touch", "so")], False),
    ],
)
def test_a_lease_is_lost_when_the_server_says_so_or_nothing_for_too_long(
    answers, kept, monkeypatch
):
    """Before it runs out, for the command needs time to end."""
    server = Server(*answers)
    monkeypatch.setattr(workq_client, "Client", server)
    lost = threading.Event()
    job = Job(id=ID, queue="mails", ttr=0.9, payload=b"", token=1)
    begun = time.monotonic()
    with Renewal("workq://x", job, lost.set):
        assert lost.wait(1.0 if kept else 10) == (not kept)
        ended = time.monotonic()
    assert server.timeout == pytest.approx(0.15)
    assert server.touched
    if isinstance(answers[-1], NoReply):
        assert ended - begun >= 0.5
        assert server.touched[-1] <= begun + 0.75  # none is begun that could come too late
