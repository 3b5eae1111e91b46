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

if TYPE_CHECKING:
    from workq.broker.session import Session


class Waiter(Timer):
    """A request that waits; as a timer the end of its wait.

    Attributes:
        session: who asked.
        wait: what for.
        over: whether the wait of a caller is over, who waits on for the end of a lease.
    """

    __slots__ = ("over", "session", "wait")

    def __init__(self, session: Session, wait: Wait, until_ms: int) -> None:
        super().__init__(until_ms)
        self.session = session
        self.wait = wait
        self.over = False


class Waiting:
    """All waiters.

    Attributes:
        lines: by name those who wait for a job of it; no line is empty. The engine looks into
            it to know whose queues' ready jobs are to be told of.
        size: how many wait.
        shifted: names whose line was begun or ended; emptied by the broker.
    """

    def __init__(self) -> None:
        self.lines: dict[bytes, OrderedDict[Waiter, None]] = {}
        self.size = 0
        self.shifted: list[bytes] = []
        self._ends: Calendar[Waiter] = Calendar()

    def add(self, waiter: Waiter, now_ms: int) -> None:
        """Let a waiter wait."""
        self.size += 1
        waiter.session.waiter = waiter
        self._ends.set(waiter, now_ms)
        wait = waiter.wait
        if isinstance(wait, ResultWait):
            job = wait.job
            if job.watchers is None:
                job.watchers = {}
            job.watchers[waiter] = None
            return
        for name in wait.names:
            line = self.lines.get(name)
            if line is None:
                line = self.lines[name] = OrderedDict()
                self.shifted.append(name)
            line[waiter] = None

    def remove(self, waiter: Waiter) -> None:
        """Let a waiter wait no longer."""
        self.size -= 1
        waiter.session.waiter = None
        waiter.unset()
        wait = waiter.wait
        if isinstance(wait, ResultWait):
            watchers = wait.job.watchers
            assert watchers is not None
            del watchers[waiter]
            if not watchers:
                wait.job.watchers = None
            return
        for name in wait.names:
            line = self.lines[name]
            del line[waiter]
            if not line:
                del self.lines[name]
                self.shifted.append(name)

    def first(self, name: bytes) -> tuple[Waiter, JobWait] | None:
        """Who is first in the line of a name, None if nobody waits."""
        line = self.lines.get(name)
        if line is None:
            return None
        waiter = next(iter(line))
        assert isinstance(waiter.wait, JobWait)
        return waiter, waiter.wait

    def ended(self, now_ms: int, moves_max: int) -> Waiter | None:
        """A waiter whose wait has ended, None if there is none."""
        if self._ends.soonest_ms > now_ms:
            return None
        self._ends.cascade(now_ms, moves_max)
        return self._ends.first(now_ms)

    @property
    def soonest_ms(self) -> int:
        """No wait ends before it."""
        return self._ends.soonest_ms
