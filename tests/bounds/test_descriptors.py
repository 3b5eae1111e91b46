"""Running out of descriptors: those who are served stay served, nothing spins, it is told in the
log, and it passes."""

import resource
import time

import pytest

from tests.bounds.program import until
from tests.talk import OK
from workq.limits import OWN_DESCRIPTORS

TOO_MANY = "-SERVER-ERROR Too many connections\r\n"

#: What the server may have open.
DESCRIPTORS = OWN_DESCRIPTORS + 36

#: What it may have open later, though it does not know.
FEW = 40


@pytest.fixture
def exhausted(start):
    """A server that has run out of descriptors, a client it served before, and a crowd of those
    who connected since, and do not go."""
    server = start(descriptors=DESCRIPTORS)
    good = server.peers(1)[0]
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (FEW, DESCRIPTORS))
    crowd = [server.peer() for _ in range(3 * DESCRIPTORS)]
    return server, good, crowd


def test_fewer_descriptors_than_connections_is_a_line_at_the_start(start):
    """It tells how many there can be; they are the bound from then on."""
    server = start(descriptors=DESCRIPTORS)
    told = server.logged("fewer connections than max-connections")
    assert (told["connections"], told["open_files"]) == (DESCRIPTORS - OWN_DESCRIPTORS, DESCRIPTORS)
    peers = server.peers(DESCRIPTORS - OWN_DESCRIPTORS)
    assert server.peer().rest() == TOO_MANY
    peers[0].ask("ping\r\n", OK)


def test_without_descriptors_those_who_are_served_stay_served(exhausted):
    """And the server's processor is idle: nothing turns round and round."""
    server, good, _ = exhausted
    cpu, start = server.cpu_seconds(), time.monotonic()
    while time.monotonic() - start < 0.5:
        good.ask("ping\r\n", OK)
        time.sleep(0.02)
    assert server.cpu_seconds() - cpu < 0.2


def test_running_out_of_descriptors_passes(exhausted):
    """As soon as the crowd is gone others are served."""
    server, good, crowd = exhausted
    for one in crowd:
        one.close()
    until(lambda: server.stats(good)["connections"] == 1)
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
    peers = server.peers(DESCRIPTORS - OWN_DESCRIPTORS - 1)
    assert server.peer().rest() == TOO_MANY
    assert len(server.lines) < 20
    peers[0].ask("ping\r\n", OK)


def test_running_out_of_descriptors_is_a_clear_line(exhausted):
    """One that names it, not one for each client."""
    server, good, _ = exhausted
    good.ask("ping\r\n", OK)

    def told():
        return [one for one in server.records if "descriptors" in one["message"]]

    until(told, "a line of the log")
    assert len(told()) <= 3
    assert told()[0]["level"] == "warning"
