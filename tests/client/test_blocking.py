"""The network of `Client`: what it waits for, and what an interrupt leaves behind."""

import socket
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar

import pytest
from workq_client import blocking
from workq_client.addresses import Address
from workq_client.blocking import BlockingNetwork, BlockingPlaces, BlockingWire, run
from workq_client.limits import ONE_WAIT_S_MAX, READ_BYTES
from workq_client.network import Late

from tests.client.fake import Clock

ROOT = Path(__file__).parents[2]


class Poll:
    """A `select.poll` that sees nothing, and lets time pass."""

    def __init__(self, clock):
        self.clock = clock
        self.waits = []

    def poll(self, milliseconds):
        """Wait in vain."""
        self.waits.append(milliseconds)
        self.clock.now += milliseconds / 1000
        return []


@pytest.mark.parametrize("seconds", [0.5, 3 * ONE_WAIT_S_MAX])
def test_a_wait_lasts_as_long_as_it_was_given_and_no_longer(monkeypatch, seconds):
    """Also one that is longer than the system can wait in one go."""
    monkeypatch.setattr(blocking, "time", clock := Clock())
    ours, theirs = socket.socketpair()
    with theirs:
        wire = BlockingWire(ours)
        poll = Poll(clock)
        monkeypatch.setattr(wire, "_poll", poll)
        with pytest.raises(Late):
            run(wire.exchange(b"ping\r\n", seconds))
        wire.close()
    assert clock.now == pytest.approx(1000 + seconds)
    assert max(poll.waits) <= ONE_WAIT_S_MAX * 1000


def test_so_much_is_read_at_once():
    """READ_BYTES; the rest the next time."""
    ours, theirs = socket.socketpair()
    with theirs:
        wire = BlockingWire(ours)
        theirs.sendall(b"x" * (READ_BYTES + 1))
        assert len(run(wire.exchange(b"", 1))) == READ_BYTES
        assert len(run(wire.exchange(b"", 1))) == 1
        wire.close()


def test_a_place_is_waited_for_however_long():
    """No time is too long for the system."""
    assert run(BlockingPlaces(1).take(2.0**53))
    assert not run(BlockingPlaces(0).take(-1))


def interrupt_everywhere():
    """Ctrl-C at any line, and any return, of taking a place; then it can be taken all the same."""
    number = 0
    while True:
        places = BlockingPlaces(2)
        taking = places.take(1)
        left = number

        def trace(frame, event, _):
            nonlocal left
            if frame.f_code.co_filename == __file__:
                return trace
            left -= 1
            if left < 0:
                sys.settrace(None)
                raise KeyboardInterrupt
            return trace

        try:
            sys.settrace(trace)
            taking.send(None)
        except KeyboardInterrupt:
            pass
        except StopIteration:
            break
        finally:
            sys.settrace(None)
            taking.close()
        other = threading.Thread(target=run, args=(places.take(1),), daemon=True)
        other.start()
        other.join(10)
        assert not other.is_alive(), number
        number += 1
    assert number > 2


def test_an_interrupt_anywhere_leaves_no_lock_behind():
    """In a process of its own: CPython 3.11 has been seen to spin for ever where tracing began in
    the middle of a long life."""
    code = "from tests.client import test_blocking; test_blocking.interrupt_everywhere()"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)


class Timed(socket.socket):
    """A socket that notes what time it is given."""

    given: ClassVar[list[float]] = []

    def settimeout(self, value):
        """Have so much time."""
        self.given.append(value)
        super().settimeout(value)


def test_the_addresses_of_a_name_have_their_time_together(monkeypatch):
    """One that does not answer must not use up what another, which does, needs."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, ExitStack() as stack:
        for _ in range(2):  # as many as there is room for: the next is left without an answer
            stack.enter_context(filler := socket.socket()).setblocking(False)
            filler.connect_ex(full.getsockname())
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        dead, live = full.getsockname(), listener.getsockname()
        found = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", one) for one in (dead, dead, live)]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        wire = run(BlockingNetwork().connect(Address("several", 1), 0.3))
        assert wire._sock.getpeername() == live  # type: ignore[attr-defined]
        wire.close()
        found.pop()
        monkeypatch.setattr(socket, "socket", Timed)
        with pytest.raises(Late):
            run(BlockingNetwork().connect(Address("several", 1), 0.2))
        assert len(Timed.given) == 2
        assert sum(Timed.given) <= 0.2
