"""Crowds of bad clients, small ones: a good client is served meanwhile, and memory stays bounded.

The large ones, with figures, are those of `bench/abuse.py`.
"""

import os
import select
import signal
import time

import pytest

from tests.bounds.conftest import inspected
from tests.bounds.program import Program, until
from tests.talk import MIB, OK, TIMEOUT, add, complete, job_id, result, told

#: What a request of a good client may take while others misbehave, on a machine that is busy too.
PATIENCE_S = 2.0


@pytest.fixture(scope="module")
def server():
    """One server for all: what a crowd leaves behind is part of the next one's scene."""
    one = Program("--max-memory", "256MiB")
    yield one
    inspected(one)


@pytest.fixture
def good(server):
    """A good client, and the promise that it is served at the end as at the beginning."""
    peer = server.peer()
    work(peer)
    yield peer
    work(peer)
    peer.close()


def work(peer, times=10):
    """Add, lease and finish jobs; each answer is right and comes soon."""
    for number in range(1, times + 1):
        start = time.monotonic()
        peer.ask(add(number, "good") + "lease good 0\r\n", OK + told(number, "good"))
        peer.ask(
            complete(number, "ok") + f"result {job_id(number)} 0\r\n", OK + result(number, "ok")
        )
        peer.ask(f"delete {job_id(number)}\r\n", OK)
        assert time.monotonic() - start < PATIENCE_S


def gone(server, peer, crowd):
    """Close a crowd, and wait until the server knows."""
    for one in crowd:
        one.close()
    until(lambda: server.stats(peer)["connections"] == 1)


def test_300_who_say_nothing(server, good):
    """They cost a little memory each, and nothing else."""
    before = server.stats(good)["memory-bytes"]
    crowd = server.peers(300)
    work(good)
    assert server.stats(good)["connections"] == 301
    assert server.stats(good)["memory-bytes"] - before < 300 * 32 * 1024
    gone(server, good, crowd)


def test_100_who_never_read_while_results_pour_in(server, good):
    """What each is owed stays with the server up to a bound; nobody else loses anything."""
    crowd = [server.peer(receive_bytes=4096) for _ in range(100)]
    text = "r" * 8000
    numbers = range(1000, 1040)
    good.ask("".join(add(number, "pour") for number in numbers), OK * len(numbers))
    asked = "".join(f"result {job_id(number)} 80000000\r\n" for number in numbers)
    for one in crowd:
        one.send(asked)
    until(lambda: server.stats(good)["waiting"] == len(crowd))
    for number in numbers:
        good.ask(complete(number, text), OK)
    work(good)
    assert server.stats(good)["memory-bytes"] < 200 * MIB
    last = crowd[-1]
    last.shut()
    assert last.rest() == "".join(result(number, text) for number in numbers)
    gone(server, good, crowd)
    good.ask("".join(f"delete {job_id(number)}\r\n" for number in numbers), OK * len(numbers))


def test_100_who_dribble(server, good):
    """A byte now and then is no reason to wait for them."""
    crowd = [server.peer() for _ in range(100)]
    request = add(2000, "slow", "x" * 100)
    for letter in request[:30]:
        for one in crowd:
            one.send(letter)
        work(good, 1)
    until(lambda: server.stats(good)["input-bytes"] == 100 * 30)
    gone(server, good, crowd)
    until(lambda: server.stats(good)["input-bytes"] == 0)


@pytest.mark.parametrize(
    "request_text",
    ["ping\r\n", "what\r\nping\r\n", add(3000)[:-1] + "\n", "lease nothing 0\r\n"],
    ids=["ping", "unknown", "duplicate", "lease"],
)
def test_a_flood_of_requests(server, good, request_text):
    """The good client has its turn between them."""
    crowd = server.peers(4)
    poll = select.poll()
    for one in crowd:
        one.sock.setblocking(False)
        poll.register(one.sock, select.POLLIN | select.POLLOUT)
    by_number = {one.sock.fileno(): one.sock for one in crowd}
    flood = (request_text * 2000).encode()
    for _ in range(10):
        for number, event in poll.poll(100):
            if event & select.POLLIN:
                by_number[number].recv(MIB)
            if event & select.POLLOUT:
                by_number[number].send(flood)
        work(good, 1)
    gone(server, good, crowd)
    good.send(f"delete {job_id(3000)}\r\n")
    good.sock.recv(100)


def test_the_largest_of_everything(server, good):
    """Legal and not, from several at once; the memory comes back."""
    before = server.stats(good)["memory-bytes"]
    large = "x" * MIB
    crowd = server.peers(5)
    for number, one in enumerate(crowd, 4000):
        one.ask(add(number, "large", large), OK)
        one.send(add(number + 100, "large", large + "x"))
        one.expect("-CLIENT-ERROR Invalid payload size\r\n")
        one.send("lease " + "n" * 255 + (" " + "m" * 255) * 250 + " 0\r\n")
        one.expect(TIMEOUT)
        one.send("x" * 70_000)
        work(good, 1)
    for number, one in enumerate(crowd, 4000):
        assert one.rest() == "-CLIENT-ERROR Line too long\r\n"
        good.ask(f"delete {job_id(number)}\r\n", OK)
    gone(server, good, crowd)
    until(lambda: server.stats(good)["memory-bytes"] - before < 16 * MIB)


def test_500_connections_that_come_and_go(server, good):
    """In whatever way; none is left, and memory is where it was."""
    before = server.stats(good)["memory-bytes"]
    for number in range(500):
        one = server.peer()
        one.send(("ping\r\n", "lease q 80000000\r\n", "pi", add(5000))[number % 4])
        (one.close, one.reset, one.shut)[number % 3]()
        if number % 50 == 0:
            work(good, 1)
    until(lambda: server.stats(good)["waiting"] == 0)
    good.send(f"delete {job_id(5000)}\r\n")
    good.sock.recv(100)
    assert server.stats(good)["memory-bytes"] - before < 8 * MIB


def test_a_server_that_stood_still_goes_on(server, good):
    """SIGSTOP and SIGCONT: what came to its end meanwhile does so at once, in order, and nothing
    is lost."""
    waiter, caller, half = server.peers(3)
    waiter.send("lease nothing 50\r\n")
    caller.send(f"run {job_id(6000)} unworked 1000 60 0\r\n\r\n")
    half.send("pi")
    good.ask(add(6001, "stood").replace(" 60000 600000 ", " 50 600000 ") + "lease stood 0\r\n",
             OK + told(6001, "stood").replace(" 60000 ", " 50 "))  # fmt: skip
    os.kill(server.process.pid, signal.SIGSTOP)
    time.sleep(0.2)
    half.send("ng\r\n")
    good.send("lease stood 1000\r\n")
    os.kill(server.process.pid, signal.SIGCONT)
    waiter.expect(TIMEOUT)
    caller.expect(TIMEOUT)
    half.expect(OK)
    good.expect(told(6001, "stood").replace(" 60000 ", " 50 "))
    good.ask(complete(6001) + f"delete {job_id(6001)}\r\n", OK * 2)
    for one in (waiter, caller, half):
        one.close()


def test_clients_that_stand_still_hold_nobody_up(server, good):
    """They have leases, waits and half a request; their leases end and go to others."""
    still, other = server.peers(2)
    good.ask(add(7000, "left").replace(" 60000 600000 ", " 100 600000 "), OK)
    still.send("lease left 0\r\npi")
    other.send("lease left 5000\r\n")
    other.expect(told(7000, "left").replace(" 60000 ", " 100 "))
    good.ask(complete(7000) + f"delete {job_id(7000)}\r\n", OK * 2)
    still.close()
    other.close()
