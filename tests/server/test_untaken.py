"""Replies that were sent and not taken: all of them together are bounded, and who is cut for it."""

from functools import partial
from typing import cast

import pytest

from tests.server.served import LOOPS, Peer, serve, until
from tests.talk import add, job_id, told
from workq.broker.gate import Send
from workq.broker.session import STAY, Session
from workq.commands import COMMANDS
from workq.limits import UNTAKEN_BYTES_MAX
from workq.server import untaken as module
from workq.server.connection import Connection
from workq.server.untaken import Untaken
from workq.wire.grammar import Table

MIB = 1024 * 1024


class Keeping:
    """A connection, and its transport: it keeps as much as a test says.

    Attributes:
        kept_bytes: what it keeps.
        aborted: whether it was cut off.
    """

    def __init__(self, untaken: Untaken) -> None:
        self._untaken = untaken
        self.transport = self
        self.session = Session(Table(COMMANDS))
        self.session.peer = self
        self.kept_bytes = 0
        self.aborted = False

    def get_write_buffer_size(self) -> int:
        """As asyncio tells it."""
        return self.kept_bytes

    def abort(self) -> None:
        """The loop tells later that the connection is lost."""
        self.aborted = True

    def begin(self) -> None:
        """It keeps more than a little."""
        self._untaken.begin(cast(Connection, self))

    def end(self) -> None:
        """It keeps little again."""
        self._untaken.end(cast(Connection, self))

    def sent(self) -> Send:
        """What it was sent."""
        return self.session, b"", STAY


def keeping(count: int, size: int) -> tuple[Untaken, list[Keeping]]:
    """So many connections that have ceased to keep up, in order, and keep so much each."""
    untaken = Untaken()
    connections = [Keeping(untaken) for _ in range(count)]
    for connection in connections:
        connection.begin()
        connection.kept_bytes = size
    untaken.look([connection.sent() for connection in connections])
    return untaken, connections


def test_what_is_kept_for_those_who_do_not_keep_up_is_counted():
    """Until they have caught up; the others are not looked at."""
    untaken, (first, second) = keeping(2, 1000)
    other = Keeping(untaken)
    other.kept_bytes = 5000
    untaken.look([other.sent()])
    assert untaken.kept_bytes == 2000
    first.kept_bytes = 3000
    untaken.look([first.sent()])
    assert untaken.kept_bytes == 4000
    first.end()
    second.end()
    second.end()  # once when it had caught up, once when it was lost
    assert untaken.kept_bytes == 0


def test_as_much_as_may_be_is_kept_for_ever():
    """Nobody is cut off for being slow."""
    untaken, connections = keeping(256, UNTAKEN_BYTES_MAX // 256)
    assert not any(connection.aborted for connection in connections)
    assert untaken.kept_bytes == UNTAKEN_BYTES_MAX


def test_at_more_who_has_not_caught_up_for_longest_is_cut_off():
    """Until an eighth is free, or everybody would be looked at again with every reply."""
    untaken, connections = keeping(257, UNTAKEN_BYTES_MAX // 256)
    assert [connection.aborted for connection in connections] == [True] * 33 + [False] * 224
    assert (untaken.cut, untaken.kept_bytes) == (33, UNTAKEN_BYTES_MAX * 7 // 8)


def test_nobody_is_cut_off_for_what_was_taken_meanwhile():
    """Before anybody is, all are looked at."""
    untaken, connections = keeping(256, UNTAKEN_BYTES_MAX // 256)
    connections[200].kept_bytes = 100_000
    connections[100].kept_bytes += 5
    untaken.look([connections[100].sent()])
    assert not any(connection.aborted for connection in connections)


@pytest.mark.parametrize("loop", LOOPS)
def test_of_clients_that_ask_and_never_read_some_are_cut_off_and_the_others_served(
    loop, monkeypatch
):
    """What is kept for them is bounded; whose replies the system takes is none of them."""
    monkeypatch.setattr(module, "UNTAKEN_BYTES_MAX", MIB)

    async def body(server):
        ring = server.ring
        worker = await server.peer()
        await worker.send(add(1, payload="x" * MIB))
        await worker.expect("+OK\r\n")
        silent: list[Peer] = []
        while ring.untaken.cut < 3:
            assert len(silent) < 100
            silent.append(await server.peer())
            await silent[-1].send(f"inspect job {job_id(1)}\r\n" * 20)
            session = list(ring.connections)[-1].session
            await until(partial(getattr, session, "stalled"))
            assert ring.untaken.kept_bytes <= MIB
            await until(lambda: len(ring.connections) == 1 + len(silent) - ring.untaken.cut)
        kept = [one.transport.get_write_buffer_size() for one in ring.connections]
        assert 0 < sum(kept) <= MIB
        await worker.send("lease q 0\r\n")
        await worker.expect(told(1, payload="x" * MIB))
        assert (await silent[-1].read(5)) == "+OK 1"

    serve(loop, body)
