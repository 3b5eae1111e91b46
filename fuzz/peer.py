"""A client of the broker, and what is remembered of it to judge the broker by."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from fuzz import reference
from fuzz.reference import Item
from workq.broker.session import STAY, Session
from workq.broker.waiting import Waiter
from workq.commands.base import Command, JobWait
from workq.limits import Bounds
from workq.wire.reader import Reader


class Chunk(NamedTuple):
    """What a session said in one turn.

    Attributes:
        position: of the commit that must be safe before it leaves.
        data: its replies.
        ending: how the connection ends after them.
        tokens: of the leases in it.
    """

    position: int
    data: bytes
    ending: int
    tokens: list[int]


class Peer:
    """A client and its connection.

    Attributes:
        session: what the broker has of it.
        shadow: reads what the session reads, in general, to know what was asked.
        received: what the broker was given.
        asked: the requests, as far as they were read by the broker or not.
        answered: how many of them have their reply.
        looked_at: how many requests, and how many bytes, had come when all was at rest.
        seen_bytes: how many bytes had come by the last turn.
        asked_ms, answered_ms: when each request had come; when the last reply was made.
        waiting: the request that waits, and since which turn; None if there is none.
        chunks: what was said and has not left.
        delivered, told: the tokens of leases in replies that have left; in all replies.
        sent: what the client has sent and the ring has not read yet.
        piece_max: the longest piece that the ring has read.
        shut: whether the client sends no more; `heard_shut` whether the broker knows.
        paused: whether the ring does not read.
        ending: how the broker has ended it.
        version: what it spoke when it was last told something.
    """

    def __init__(self, session: Session, shadow: Reader[Command]) -> None:
        self.session = session
        session.peer = self
        self.shadow = shadow
        self.received = bytearray()
        self.asked: list[Item] = []
        self.answered = 0
        self.looked_at = 0, 0
        self.seen_bytes = 0
        self.asked_ms: list[int] = []
        self.answered_ms = 0
        self.waiting: tuple[Waiter, int] | None = None
        self.chunks: deque[Chunk] = deque()
        self.delivered: set[int] = set()
        self.told: set[int] = set()
        self.sent: deque[bytes] = deque()
        self.piece_max = 0
        self.shut = False
        self.heard_shut = False
        self.paused = False
        self.ending = STAY
        self.version = 1

    def note_received(self, piece: bytes, now_ms: int) -> None:
        """Find out what is asked with a piece."""
        self.received += piece
        self.shadow.feed(piece)
        while (item := self.shadow.next()) is not None:
            command, arguments = item
            if command is not None:
                self.asked.append((command.name, arguments))
            elif arguments:
                self.asked.append(("", arguments))
        self.asked_ms += [now_ms] * (len(self.asked) - len(self.asked_ms))

    def between_requests(self, bounds: Bounds) -> bool:
        """Whether what has come ends with the end of a request, and did at the last turn and when
        all was at rest."""
        for size in (len(self.received), self.seen_bytes, self.looked_at[1]):
            received = bytes(self.received[:size])
            before = reference.read(received, bounds.line_bytes_max).items
            after = reference.read(received + b"ping\r\n", bounds.line_bytes_max).items
            if after != [*before, ("ping", ())]:
                return False
        return True

    def note_end(self, now_ms: int) -> None:
        """The stream is over: an error may be due for what was cut off."""
        if not self.shadow.ended:
            cut_off = self.shadow.finish()
            if cut_off:
                self.asked.append(("", cut_off))
                self.asked_ms.append(now_ms)


def is_over(peer: Peer) -> bool:
    """Whether a client is gone and nothing of it is left in the broker."""
    session = peer.session
    return session.lost and session.waiter is None and session.ending != STAY


def awaited(session: Session) -> tuple[bytes, ...]:
    """The names of the jobs that a session waits for and may be handed."""
    waiter = session.waiter
    if waiter is None or not isinstance(waiter.wait, JobWait) or not in_line(waiter):
        return ()
    return waiter.wait.names


def in_line(waiter: Waiter) -> bool:
    """Whether a waiter may be handed a job: not while its client takes none."""
    return getattr(waiter, "in_line", True)
