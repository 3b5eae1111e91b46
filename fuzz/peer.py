"""A client of the broker, and what is remembered of it to judge the broker by."""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

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
        tags: what each of them carries; None for no tag.
        open: those that have no reply yet, by their places in `asked`.
        looked_at: how many requests, and how many bytes, had come when all was at rest.
        seen_bytes: how many bytes had come by the last turn.
        asked_ms, answered_ms: when each request had come; when the last reply was made that has
            its place among others.
        waiting: what waits in line, and since which turn.
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
        self.tags: list[int | None] = []
        self.open: dict[int, None] = {}
        self.looked_at = 0, 0
        self.seen_bytes = 0
        self.asked_ms: list[int] = []
        self.answered_ms = 0
        self.waiting: dict[Waiter, int] = {}
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
            tag, self.shadow.tag = self.shadow.tag, None
            if command is not None:
                self._note(command.name, arguments, tag, now_ms)
                if command.name == "hello":
                    self.shadow.tagging = True
            elif arguments:
                self._note("", arguments, tag, now_ms)

    def _note(self, name: str, arguments: Any, tag: int | None, now_ms: int) -> None:
        self.open[len(self.asked)] = None
        self.asked.append((name, arguments))
        self.tags.append(tag)
        self.asked_ms.append(now_ms)

    @property
    def next(self) -> int | None:
        """The place of the first request without a tag that has no reply."""
        return next((place for place in self.open if self.tags[place] is None), None)

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
                self._note("", cut_off, self.shadow.tag, now_ms)


def is_over(peer: Peer) -> bool:
    """Whether a client is gone and nothing of it is left in the broker."""
    session = peer.session
    return session.lost and not session.waiters and session.ending != STAY


def awaited(session: Session) -> tuple[bytes, ...]:
    """The names of the jobs that a session waits for and may be handed."""
    return tuple(name for waiter in session.waiters for name in names_of(waiter))


def names_of(waiter: Waiter) -> tuple[bytes, ...]:
    """The names of the jobs that a waiter may be handed."""
    wait = waiter.wait
    return wait.names if isinstance(wait, JobWait) and in_line(waiter) else ()


def wanted(waiter: Waiter) -> tuple[bytes, ...]:
    """The names of the jobs that somebody waits, or waited, for."""
    return waiter.wait.names if isinstance(waiter.wait, JobWait) else ()


def in_line(waiter: Waiter) -> bool:
    """Whether a waiter may be handed a job: not while its client takes none."""
    return getattr(waiter, "in_line", True)
