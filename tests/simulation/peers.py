"""What the checkers know of a connection: what was asked, waits, was said, was handed over.

Requests are read from the bytes that the server has received, by the reference reader of the
fuzzers (`fuzz/reference.py`), which was written from `docs/protocol.md`.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final, NamedTuple

from fuzz import reference
from tests.simulation.model import Job
from tests.simulation.network import Wire
from tests.simulation.violation import Violation, demand

#: Blocks longer than this are refused before they have come.
BLOCK_BYTES_MAX: Final = 1_048_576


class Wait:
    """A request that waits.

    Attributes:
        names: of the queues from which it takes a job; empty for one that waits for a result.
        job: whose result it waits for.
        caller: whether that is the caller of a `run`.
        until_ms: when the wait is over.
        place: in the lines of its names; -1 while it stands in none.
        over: whether it is the wait of a caller that is over, while a worker has the job.
    """

    __slots__ = ("caller", "job", "names", "over", "place", "until_ms")

    def __init__(
        self, names: tuple[bytes, ...], job: Job | None, caller: bool, until_ms: int, place: int
    ) -> None:
        self.names, self.job, self.caller = names, job, caller
        self.until_ms, self.place, self.over = until_ms, place, False


class Said(NamedTuple):
    """A reply on its way.

    Attributes:
        reply: its bytes.
        position: of the last frame when it was made.
        lease: the number of the lease in it; 0 for none.
    """

    reply: bytes
    position: int
    lease: int


def _refused_at_once(request: bytes) -> bool:
    """Whether its block is so large that nobody waits for its end."""
    words = [word for word in request.split(b"\n")[0].split() if b"=" not in word]
    return words[-1].isdigit() and int(words[-1]) > BLOCK_BYTES_MAX


class Peer:
    """A connection.

    Attributes:
        name: for messages.
        items: what was asked and has no answer.
        wait: what its first request waits for.
        eof, lost, stalled: whether its client sends no more, is gone, takes no replies.
        closing: whether nothing more of it is read.
        refused: whether it was one too many.
        forgotten_us: when the server has seen to it after it was lost; 0 for not yet.
        said: what the server has said in this turn; `at` of it were expected.
        leases: the numbers of those told in this turn, with their places in `said`.
        waiting: replies that are not handed over.
        undelivered: leases in them: the job and the number.
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
        self.items: deque[tuple[str, Any]] = deque()
        self._sizes: deque[int] = deque()
        self._unread = self._unknown = 0
        self._early = False
        self.wait: Wait | None = None
        self.eof = self.lost = self.stalled = self.closing = self.refused = False
        self.forgotten_us = 0
        self.said: list[bytes] = []
        self.at = 0
        self.leases: dict[int, int] = {}
        self.waiting: deque[Said] = deque()
        self.undelivered: list[tuple[Job, int]] = []
        self.works_on: list[tuple[Job, int]] = []
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
        reading = reference.read(before + self._buffer, self._line_bytes_max)
        read = list(zip(reading.items, reading.ends, strict=True))[self._unknown :]
        used = 0
        for item, ends in read:
            if ends < 0 and not reading.ended:
                if not self._early and _refused_at_once(self._buffer[used:]):
                    self._early = True
                    self.items.append(item)
                    self._sizes.append(0)
                break
            if self._early:  # its block is over, and it was told before
                self._early = False
                used = max(used, ends - len(before))
                continue
            end = ends - len(before)
            first = self._buffer[used:].split(b"\n")[0].rstrip(b"\r").split(b" ")[0]
            self._unknown = 0 if first in reference.FIRST_WORDS else self._unknown + 1
            self.items.append(item)
            self._sizes.append(max(end - used, 0))
            used = max(used, end)
        if reading.ended:
            self.closing = True
            if reading.silent:
                self.items.pop()
                self._sizes.pop()
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
        return self.items.popleft()

    def pending_bytes(self) -> int:
        """What it has sent that was not executed; that it may be half a request and more."""
        return len(self._buffer) + sum(self._sizes) + self._unread

    def next_said(self) -> bytes:
        """What it was told next in this turn; empty for nothing."""
        return self.said[self.at] if self.at < len(self.said) else b""

    def expect(self, reply: bytes, why: str) -> None:
        """It must have been told this now, if anybody is there to be told."""
        if self.lost:
            return
        found = self.next_said()
        if found != reply:
            raise Violation("replies", f"{self.name} {why}: {reply!r} expected, {found!r} said")
        self.at += 1

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
        delivered = {said.lease for said in sent if said.lease}
        if delivered:
            self.undelivered = [one for one in self.undelivered if one[1] not in delivered]
        return sent
