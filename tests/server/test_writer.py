"""Between broker and log: what a reply waits for, under each policy."""

from __future__ import annotations

import logging
from typing import NamedTuple

import pytest

from tests.simulation.log import MemoryLog
from tests.talk import add
from workq.broker.broker import Broker
from workq.broker.session import Session
from workq.commands import COMMANDS
from workq.engine.engine import Engine
from workq.errors import LogError
from workq.limits import AHEAD_BYTES_MAX
from workq.recovery.records import Unpacker
from workq.server.writer import ALWAYS, INTERVAL, OS, Policy, Writer

MIB = 1024 * 1024


class Desk(NamedTuple):
    """A broker before a log, and one client."""

    broker: Broker
    log: MemoryLog
    writer: Writer
    session: Session
    woken: list[int]
    failures: list[Exception]

    def ask(self, text: str) -> bytes:
        """Send a request, have a turn; what may leave now."""
        self.broker.receive(self.session, text.encode())
        return self.turn()

    def turn(self) -> bytes:
        """Have a turn; what may leave now."""
        commit = self.broker.turn(1000, 0)
        if commit:
            self.writer.append(commit, 1000)
        return b"".join(data for _, data, _ in self.broker.release())


@pytest.fixture
def desk():
    """Makes one with a policy."""

    def make(name: str) -> Desk:
        broker = Broker(Engine(), COMMANDS)
        woken: list[int] = []
        failures: list[Exception] = []
        writer = Writer(broker, Policy(name), lambda: woken.append(1), failures.append)
        writer.log = log = MemoryLog(writer)
        return Desk(broker, log, writer, broker.open(), woken, failures)

    return make


def test_under_always_a_reply_waits_for_the_disk(desk):
    """That it was written is not enough."""
    one = desk(ALWAYS)
    assert one.ask(add(1)) == b""
    one.log.write()
    assert one.turn() == b""
    assert not one.woken
    assert not one.writer.syncing
    one.writer.sync()
    assert one.writer.syncing
    one.log.run()
    assert not one.writer.syncing
    assert one.woken
    assert one.turn() == b"+OK\r\n"


@pytest.mark.parametrize("policy", [INTERVAL, OS])
def test_otherwise_a_reply_waits_for_the_operating_system(desk, policy):
    """No sync is asked for here: the interval has a timer of its own."""
    one = desk(policy)
    assert one.ask(add(1)) == b""
    assert one.log.wanted == 0
    one.log.write()
    assert one.woken
    assert one.turn() == b"+OK\r\n"


def test_a_reply_that_changes_nothing_waits_too(desk):
    """It may tell of a change that a crash would take back."""
    one = desk(ALWAYS)
    one.ask(add(1))
    assert one.ask(add(1)) == b""
    one.log.write()
    one.writer.sync()
    one.log.run()
    assert one.turn() == b"+OK\r\n-CLIENT-ERROR Duplicate job\r\n"


def test_a_commit_is_on_the_log_as_it_was_decided(desk):
    """Foreground jobs are not on it."""
    one = desk(OS)
    one.ask(add(1) + "run 00000000-0000-4000-8000-000000000099 q 1000 1000 1\r\nx\r\n")
    (frame,) = one.log.frames
    ((kind, *_),) = Unpacker().records(frame.body)
    assert (frame.records, kind) == (1, 1)


def test_a_full_disk_refuses_what_grows(desk, caplog):
    """New jobs; what is there can be worked on, and a foreground job takes no room."""
    caplog.set_level(logging.INFO, "workq")
    one = desk(OS)
    one.ask(add(1))
    one.log.run()
    one.turn()
    one.log.set_full(True)
    assert one.ask(add(2)) == b"-SERVER-ERROR Disk full\r\n"
    assert one.ask("lease q 0\r\ncomplete 00000000-0000-4000-8000-000000000001 0\r\n\r\n") == b""
    one.log.run()
    assert one.turn().endswith(b"+OK\r\n")
    one.log.set_full(False)
    one.ask(add(2))
    one.log.run()
    assert one.turn() == b"+OK\r\n"
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]


def test_a_log_that_does_not_come_on_stops_what_makes_more(desk):
    """A disk that hangs must not fill memory with payloads meant for it; then all goes on."""
    one = desk(OS)
    payload = "x" * MIB
    asked = AHEAD_BYTES_MAX // MIB + 5
    for number in range(asked):
        one.ask(add(number + 1, payload=payload))
    taken = one.broker.engine.size
    assert taken * MIB >= AHEAD_BYTES_MAX
    assert taken < asked
    replies = b""
    while one.broker.engine.size < asked:
        one.log.run()
        replies += one.turn()
    one.log.run()
    assert (replies + one.turn()).count(b"+OK") == asked


def test_a_failed_log_is_the_end(desk):
    """No reply that waited leaves any more."""
    one = desk(ALWAYS)
    one.ask(add(1))
    one.log.fail("the disk is gone")
    (failure,) = one.failures
    assert isinstance(failure, LogError)
    assert "the disk is gone" in str(failure)
    assert one.turn() == b""


@pytest.mark.parametrize(
    "policy, told",
    [(Policy(ALWAYS), "nothing"), (Policy(INTERVAL, 250), "250 ms"), (Policy(OS), "30 s")],
)
def test_each_policy_says_what_may_be_lost(policy, told):
    """In words that stand in the log at each start."""
    assert told in policy.window
