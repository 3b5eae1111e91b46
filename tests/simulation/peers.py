"""What the checkers know of a connection: what was asked, waits, was said, was handed over.

Requests are read from the bytes that the server has received, by the reference reader of the
fuzzers (`fuzz/reference.py`), which was written from `docs/protocol.md`.
"""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

from fuzz import reference
from tests.simulation.model import Job
from tests.simulation.network import Wire
from tests.simulation.violation import Violation, demand
from tests.simulation.words import tagged


class Wait:
    """A request that waits.

    Attributes:
        names: of the queues from which it takes jobs; empty for one that waits for a result.
        most: how many it takes.
        job: whose result it waits for.
        caller: whether that is the caller of a `run`.
        until_ms: when the wait is over.
        place: in the lines of its names; -1 while it stands in none.
        over: whether it is the wait of a caller that is over, while a worker has the job.
        tag: what its reply carries; None for one that holds up what is behind it.
    """

    __slots__ = ("caller", "job", "most", "names", "over", "place", "tag", "until_ms")

    def __init__(
        self, until_ms: int, names: tuple[bytes, ...] = (), most: int = 1, place: int = -1,
        job: Job | None = None, caller: bool = False,
    ) -> None:  # fmt: skip
        self.names, self.most, self.job, self.caller = names, most, job, caller
        self.until_ms, self.place, self.over = until_ms, place, False
        self.tag: int | None = None


class Said(NamedTuple):
    """A reply on its way.

    Attributes:
        reply: its bytes.
        position: of the last frame when it was made.
        leases: the numbers of the leases in it.
    """

    reply: bytes
    position: int
    leases: tuple[int, ...]


class Peer:
    """A connection.

    Attributes:
        name: for messages.
        items: what was asked and has no answer, with the tags.
        version: of the protocol that it speaks.
        wait: what its first request waits for.
        tagged: what those wait for that carry tags.
        tag: of the request that is being answered.
        eof, lost, stalled: whether its client sends no more, is gone, takes no replies.
        closing: whether nothing more of it is read.
        refused: whether it was one too many.
        forgotten_us: when the server has seen to it after it was lost; 0 for not yet.
        said: what the server has said in this turn; `at` of it were expected, and of the others
            those with the places in `claimed`, which may come in any order.
        leases: the numbers of those told in this turn, by their places in `said`.
        waiting: replies that are not handed over.
        undelivered: leases in them: the job and the number.
        leased: the jobs that it was ever handed.
        abandoned: whether it was made to wait for nothing any more in this turn.
        works_on: the leases of foreground jobs that it ever had, in the same way.
        asked_us: when its unfinished request began; -1 if there is none.
        began_us: when what it sent last began.
        heard_us: when something of it came last.
        busy_us: when it was last seen waiting, or not taking its replies.
        wire: the connection itself.
    """

    def __init__(self, name: str, line_bytes_max: int) -> None:
        self.name = name
        self._line_bytes_max = line_bytes_max
        self._buffer = b""
        self.items: deque[tuple[str, Any, int | None]] = deque()
        self._sizes: deque[int] = deque()
        self._unread = self._unknown = 0
        self._early = False  # its block is awaited, though it was refused before
        self._reads = self.version = 1  # as what it sends is read, and what it is told is written
        self.wait: Wait | None = None
        self.tagged: list[Wait] = []
        self.tag: int | None = None
        self.eof = self.lost = self.stalled = self.closing = self.refused = False
        self.forgotten_us = 0
        self.said: list[bytes] = []
        self.at = 0
        self.claimed: set[int] = set()
        self.leases: dict[int, tuple[int, ...]] = {}
        self.waiting: deque[Said] = deque()
        self.undelivered: list[tuple[Job, int]] = []
        self.works_on: list[tuple[Job, int]] = []
        self.leased: dict[Job, None] = {}
        self.abandoned = False
        self.cut_off = b""
        self.asked_us = -1
        self.heard_us = 0
        self.busy_us = self.began_us = 0
        self.wire: Wire | None = None

    def received(self, data: bytes, now_us: int) -> int:
        """The server has read something: note the requests that are complete now; how many."""
        self.heard_us = now_us
        if self.closing:
            self._unread += len(data)
            return 0
        count = len(self.items)
        late = len(self._buffer) > 0
        self._buffer += data
        # The reader does not know what came before, but for the unknown commands that it counts.
        before = b"x\n" * self._unknown
        reading = reference.read(before + self._buffer, self._line_bytes_max, self._reads)
        read = list(zip(reading.items, reading.ends, reading.tags, strict=True))[self._unknown :]
        used = 0
        for (name, arguments), ends, tag in read:
            told, self._early = self._early, False
            if not told and (name or arguments):
                self.items.append((name, arguments, tag))
                self._sizes.append(0)
            if ends < 0 and not reading.ended:
                self._early = True  # it is refused by its line, and its block is to come
                break
            first = self._buffer[used:].split(b"\n")[0].rstrip(b"\r").split(b" ")[0]
            self._unknown = 0 if first in reference.FIRST_WORDS else self._unknown + 1
            self._reads = 2 if name == "hello" else self._reads
            end = max(ends - len(before), used)
            if self._sizes:  # a block that comes late is still that of the last one
                self._sizes[-1] += end - used
            used = end
        self.closing = self.closing or reading.ended
        self._buffer = self._buffer[used:]
        self.cut_off = reading.cut_off
        if not self._buffer or self.closing:
            self.asked_us = -1
        elif used or self.asked_us < 0:
            self.asked_us = now_us
        if not late:
            self.began_us = now_us
        return len(self.items) - count

    def end(self) -> None:
        """Nothing that was received is read any more."""
        self.closing = True
        self.items.clear()
        self._sizes.clear()
        self._buffer = self.cut_off = b""
        self._unread = 0

    def take(self) -> tuple[str, Any]:
        """The request that is answered next."""
        self._sizes.popleft()
        name, arguments, self.tag = self.items.popleft()
        return name, arguments

    def waits(self) -> list[Wait]:
        """All that it waits for."""
        return [*self.tagged] if self.wait is None else [self.wait, *self.tagged]

    def begin(self, wait: Wait) -> None:
        """The request that is being answered waits."""
        wait.tag = self.tag
        if wait.tag is None:
            self.wait = wait
        else:
            self.tagged.append(wait)

    def waits_for(self, wait: Wait) -> bool:
        """Whether it waits for that."""
        return self.wait is wait or wait in self.tagged

    def wait_ends(self, wait: Wait) -> None:
        """It does not any more."""
        if self.wait is wait:
            self.wait = None
        else:
            self.tagged.remove(wait)

    def pending_bytes(self) -> int:
        """What it has sent that was not executed; that it may be half a request and more."""
        return len(self._buffer) + sum(self._sizes) + self._unread

    def open_said(self) -> list[int]:
        """The places of what it was told in this turn and nothing accounts for."""
        return [at for at in range(self.at, len(self.said)) if at not in self.claimed]

    def next_said(self) -> bytes:
        """What it was told next in this turn; empty for nothing."""
        return self.said[at[0]] if (at := self.open_said()) else b""

    def told(self) -> bytes:
        """The same, of the request that is being answered, without its tag."""
        found, head = self.next_said(), tagged(self.tag, b"")
        return found[len(head) :] if found.startswith(head) else b""

    def expect(self, reply: bytes, why: str) -> int:
        """It must have been told this now, of the request that is being answered, if anybody is
        there to be told. Return the place."""
        if self.lost:
            return -1
        reply = tagged(self.tag, reply)
        found = self.next_said()
        if found != reply:
            raise Violation("replies", f"{self.name} {why}: {reply!r} expected, {found!r} said")
        self.at = self.open_said()[0] + 1
        return self.at - 1

    def claim(self, wait: Wait, reply: bytes, why: str) -> int:
        """It must be told this in this turn, of a request that has waited, if anybody is there to
        be told. Return the place."""
        if self.lost:
            return -1
        reply = tagged(wait.tag, reply)
        place = next((at for at in self.open_said() if self.said[at] == reply), -1)
        if place < 0:
            found = [self.said[at] for at in self.open_said()]
            raise Violation("replies", f"{self.name} {why}: {reply!r} expected, {found!r} said")
        self.claimed.add(place)
        return place

    def said_of(self, wait: Wait) -> list[bytes]:
        """What it is told in this turn that may be of a request that has waited, without the
        tag."""
        found = [self.said[at] for at in self.open_said()]
        head = tagged(wait.tag, b"")
        if wait.tag is None:  # of those there is one at a time
            return [reply for reply in found if not reply.startswith(b"=")][:1]
        return [reply[len(head) :] for reply in found if reply.startswith(head)]

    def handed(self, data: bytes) -> list[Said]:
        """Something was handed to its transport: the replies that it consists of."""
        sent: list[Said] = []
        at = 0
        while at < len(data):
            demand(self.waiting, "replies", f"{self.name} is sent what nobody said: {data[at:]!r}")
            said = self.waiting.popleft()
            if data[at : at + len(said.reply)] != said.reply:
                raise Violation("replies", f"{self.name} is sent {data[at:]!r} for {said.reply!r}")
            at += len(said.reply)
            sent.append(said)
        delivered = {number for said in sent for number in said.leases}
        if delivered:
            self.undelivered = [one for one in self.undelivered if one[1] not in delivered]
        return sent
