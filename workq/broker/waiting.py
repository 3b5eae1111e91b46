"""Who waits for what: the lines before the queues, and the ends of waits.

A waiter belongs to a request. One that waits for a job stands in a line for each of its names,
first come, first served, and leaves all of them at once. One that waits for a result stands with
its job (`Job.watchers`).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from workq.commands.base import JobWait, ResultWait, Wait
from workq.engine.calendar import Calendar, Timer
from workq.limits import NAMES_LIKE_A_REQUEST

if TYPE_CHECKING:
    from workq.broker.session import Session


class Waiter(Timer):
    """A request that waits; as a timer the end of its wait.

    Attributes:
        session: who asked.
        tag: of the request; None for a request that holds up those behind it.
        wait: what for.
        told: the reply that tells what became of its job, while it is on its way; else empty.
        in_line: whether it stands in the lines of its names.
        over: whether the wait of a caller is over, who waits on for the end of a lease.
        plain: whether its session is `careful` for nothing but this wait: so it was when the wait
            began, and nothing has happened to it since.
    """

    __slots__ = ("in_line", "over", "plain", "session", "tag", "told", "wait")

    def __init__(self, session: Session, wait: Wait, until_ms: int, tag: int | None = None) -> None:
        super().__init__(until_ms)
        self.session = session
        self.tag = tag
        self.wait = wait
        self.told = b""
        self.in_line = False
        self.over = False
        self.plain = False

    @property
    def waits(self) -> bool:
        """Whether it waits still."""
        return self.session.waiter is self or self in self.session.tagged

    @property
    def cost(self) -> int:
        """What it costs to let it wait, or to let it go, in usual requests."""
        wait = self.wait
        return 1 if isinstance(wait, ResultWait) else 1 + len(wait.names) // NAMES_LIKE_A_REQUEST


class Waiting:
    """All waiters.

    Attributes:
        lines: by name those who wait for a job of it; no line is empty. The engine looks into
            it to know whose queues' ready jobs are to be told of.
        size: how many wait.
        tagged: how many of them under a tag.
        names: how many places in lines they take.
        shifted: names whose line was begun or ended; emptied by the broker.
    """

    def __init__(self) -> None:
        self.lines: dict[bytes, OrderedDict[Waiter, None]] = {}
        self.size = 0
        self.tagged = 0
        self.shifted: OrderedDict[bytes, None] = OrderedDict()
        self.names = 0
        self._ends: Calendar[Waiter] = Calendar()

    def add(self, waiter: Waiter, now_ms: int) -> None:
        """Let a waiter wait."""
        self.size += 1
        if waiter.tag is None:
            waiter.session.waiter = waiter
        else:
            waiter.session.tagged[waiter] = None
            self.tagged += 1
        waiter.session.careful = True
        self._ends.set(waiter, now_ms)
        wait = waiter.wait
        if isinstance(wait, ResultWait):
            job = wait.job
            if job.watchers is None:
                job.watchers = {}
            job.watchers[waiter] = None
        else:
            self.join(waiter, wait)

    def join(self, waiter: Waiter, wait: JobWait) -> None:
        """Let a waiter stand in its lines, at their ends."""
        waiter.in_line = True
        self.names += len(wait.names)
        for name in wait.names:
            line = self.lines.get(name)
            if line is None:
                line = self.lines[name] = OrderedDict()
                self._shift(name)
            line[waiter] = None

    def leave(self, waiter: Waiter) -> None:
        """Take a waiter for a job out of its lines; it waits on, but is handed nothing."""
        wait = waiter.wait
        if not waiter.in_line or isinstance(wait, ResultWait):
            return
        waiter.in_line = False
        self.names -= len(wait.names)
        for name in wait.names:
            line = self.lines[name]
            del line[waiter]
            if not line:
                del self.lines[name]
                self._shift(name)

    def _shift(self, name: bytes) -> None:
        self.shifted[name] = None
        self.shifted.move_to_end(name)

    def remove(self, waiter: Waiter) -> None:
        """Let a waiter wait no longer."""
        self.size -= 1
        if waiter.tag is None:
            waiter.session.waiter = None
        else:
            del waiter.session.tagged[waiter]
            self.tagged -= 1
        waiter.unset()
        wait = waiter.wait
        if isinstance(wait, ResultWait):
            watchers = wait.job.watchers
            if watchers is not None:  # else its job is finished or gone
                del watchers[waiter]
                if not watchers:
                    wait.job.watchers = None
        else:
            self.leave(waiter)

    def first(self, name: bytes) -> tuple[Waiter, JobWait] | None:
        """Who is first in the line of a name, None if nobody waits."""
        line = self.lines.get(name)
        if line is None:
            return None
        waiter = next(iter(line))
        assert isinstance(waiter.wait, JobWait)
        return waiter, waiter.wait

    def led(self, waiter: Waiter, wait: JobWait) -> tuple[bytes, ...]:
        """Of the names that a waiter in line waits for, those for which nobody came before it."""
        return tuple(name for name in wait.names if next(iter(self.lines[name])) is waiter)

    def cascade(self, now_ms: int, moves_max: int) -> None:
        """Bring near the ends of waits that draw near; once a turn, before `ended`."""
        if self._ends.soonest_ms <= now_ms:
            self._ends.cascade(now_ms, moves_max)

    def ended(self, now_ms: int) -> Waiter | None:
        """A waiter whose wait has ended, None if there is none."""
        return self._ends.first(now_ms)

    @property
    def soonest_ms(self) -> int:
        """No wait ends before it."""
        return self._ends.soonest_ms
