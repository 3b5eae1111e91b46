"""A session: one client's connection as the broker sees it."""

from __future__ import annotations

from typing import Any, Final

from workq.broker.waiting import Waiter
from workq.commands.base import Command
from workq.engine.calendar import Timer
from workq.engine.job import Job
from workq.wire.grammar import Table
from workq.wire.reader import Reader

# How a connection ends once its replies are sent.
STAY: Final = 0
CLOSE: Final = 1
LINGER: Final = 2  # after an error, in a way that lets the error arrive


class Session(Timer):
    """The requests of one client and the replies to it; as a timer the end of patience with it.

    Attributes:
        peer: the ring's own; the broker never looks at it.
        version: of the protocol, as replies are written.
        name: what the client calls itself; empty if it has not said so.
        reader: the requests.
        replies: made since the last turn's end.
        unsent_bytes: of replies that the gate holds.
        undelivered: the leases (id and token) in replies not yet handed to the transport; they
            are undone when the connection is lost before. `leases_told` of them, the last, are
            in `replies`.
        delivering: of those leases, the ones in what the ring was asked to send last.
        refused: whether it was one connection too many.
        serving: the foreground jobs it was handed and that may still be leased: while the server
            shuts down, their callers wait for it.
        waiter: what the current request waits for; nothing behind it starts meanwhile.
        tagged: what requests with tags wait for, which hold up nothing.
        withdrawn: whether some of these were taken out of the lines that they stood in.
        asked: a request that was read, and put off to a later turn, with its tag.
        careful: whether there may be more to it than requests to be answered at once: any of what
            follows here, a wait, input that is counted, a time limit. Found out anew after each
            share of a turn in which it is set; so whoever begins any of these sets it.
        eof: whether the client will send no more.
        lost: whether the connection is gone.
        stalled: whether the client does not take its replies; none of its requests start.
        choked: whether it has so many replies unsent that no further request starts.
        ending: how it ends once its replies are sent; `STAY` for not.
        ended: whether the ring has been asked to end it.
        half_sent: whether it is timed because a request has come in part.
        input_bytes: what `Patience` has counted of its input.
        paused: whether it is not read from.
        runnable: whether it is to be served.
        spoken: whether it stands in the agenda's list of that name.
        tag: how much was done for it, in the virtual time of `Agenda`.
    """

    __slots__ = (
        "asked",
        "careful",
        "choked",
        "delivering",
        "ended",
        "ending",
        "eof",
        "half_sent",
        "input_bytes",
        "leases_told",
        "lost",
        "name",
        "paused",
        "peer",
        "reader",
        "refused",
        "replies",
        "runnable",
        "serving",
        "spoken",
        "stalled",
        "tag",
        "tagged",
        "undelivered",
        "unsent_bytes",
        "version",
        "waiter",
        "withdrawn",
    )

    def __init__(self, table: Table[Command], line_bytes_max: int = 0) -> None:
        super().__init__(None)
        self.peer: Any = None
        self.reader: Reader[Command] = Reader(table, line_bytes_max)
        self.version = 1
        self.name = b""
        self.replies: list[bytes] = []
        self.unsent_bytes = 0
        self.undelivered: list[tuple[bytes, int]] = []
        self.delivering: list[tuple[bytes, int]] = []
        self.leases_told = 0
        self.serving: list[Job] = []
        self.waiter: Waiter | None = None
        self.careful = False
        self.tagged: dict[Waiter, None] = {}
        self.withdrawn = False
        self.asked: tuple[Command, Any, int | None] | None = None
        self.eof = False
        self.lost = False
        self.stalled = False
        self.choked = False
        self.ending = STAY
        self.ended = False
        self.half_sent = False
        self.input_bytes = 0
        self.paused = False
        self.refused = False
        self.runnable = False
        self.spoken = False
        self.tag = 0

    @property
    def waiters(self) -> list[Waiter]:
        """All that it waits for."""
        return [*self.tagged] if self.waiter is None else [*self.tagged, self.waiter]

    @property
    def asked_effort(self) -> int:
        """What it costs to look at the request that was put off, beside what it costs anyway; 0 if
        there is none."""
        asked = self.asked
        return 0 if asked is None or asked[0].effort is None else asked[0].effort(asked[1])

    @property
    def asked_bytes(self) -> int:
        """The size of its block; 0 if it has none, or there is none."""
        block = self.asked[1][-1] if self.asked and self.asked[1] else None
        return len(block) if isinstance(block, bytes) else 0

    def end(self, how: int, reply: bytes = b"") -> None:
        """End the session after a last reply; what else was received is thrown away.

        Args:
            how: `CLOSE` or `LINGER`.
            reply: may be empty.
        """
        if reply:
            self.replies.append(reply)
        self.asked = None
        self.ending = how
        self.careful = True
        self.reader.finish()
