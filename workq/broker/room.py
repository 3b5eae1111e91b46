"""Whether there is room: for a job, for a result, for one more who waits.

What would make the server larger than its bounds is refused; everything else goes on.
"""

from __future__ import annotations

from workq.broker.waiting import Waiting
from workq.commands.base import LATER, Later
from workq.engine.engine import Engine
from workq.limits import (
    ALL_TAGGED_WAITS_MAX,
    JOB_BYTES,
    QUEUE_BYTES,
    RESULT_RESERVE_DIVISOR,
    TAGGED_WAITS_MAX,
    WAITED_NAMES_MAX,
    Bounds,
)
from workq.wire import replies


class Room:
    """The room that the bounds leave.

    Args:
        bounds: what an operator can turn.
        engine: has the jobs.
        waiting: has those who wait.

    Attributes:
        refused: requests that there was no memory for so far.
        disk_full: whether the command log has no room for what makes the state grow.
    """

    def __init__(self, bounds: Bounds, engine: Engine, waiting: Waiting) -> None:
        self._bounds = bounds
        self._engine = engine
        self._waiting = waiting
        self.refused = 0
        self.disk_full = False

    def refuses_job(self, payload_bytes: int, logged: bool = True) -> bytes | Later | None:
        """The error that a job with so large a payload gets instead of being taken in; None if
        it may be; `LATER` while there are jobs that are over, which may have its room."""
        if self.disk_full and logged:
            return replies.DISK_FULL
        bounds = self._bounds
        engine = self._engine
        if 0 < bounds.jobs_max <= engine.size:
            return LATER if engine.behind else self._refusal()
        if bounds.memory_bytes_max:
            if self._used_bytes() + JOB_BYTES + payload_bytes > bounds.memory_bytes_max:
                return LATER if engine.behind else self._refusal()
        return None

    def refuses_result(self, result_bytes: int) -> bytes | None:
        """The error that a result so large gets; None if it may be kept. There is more room than
        for payloads, so that what was taken in can be finished; and twice as much more while there
        are jobs that are over: a lease does not wait for those to be gone."""
        memory_bytes_max = self._bounds.memory_bytes_max
        if memory_bytes_max:
            reserve_bytes = memory_bytes_max // RESULT_RESERVE_DIVISOR
            if self._engine.behind:
                reserve_bytes *= 2
            if self._used_bytes() + result_bytes > memory_bytes_max + reserve_bytes:
                return self._refusal()
        return None

    def _used_bytes(self) -> int:
        """What jobs take of the memory for them."""
        engine = self._engine
        fixed_bytes = engine.size * JOB_BYTES + engine.queue_count * QUEUE_BYTES
        return engine.held_bytes + fixed_bytes

    def refuses_wait(self, names: int) -> bytes | None:
        """The error that a request gets that would wait for a job of so many queues; None if it
        may."""
        return self._refusal() if self._waiting.names + names > WAITED_NAMES_MAX else None

    def refuses_tagged_wait(self, session_waits: int) -> bytes | None:
        """The error that a request with a tag gets that may have to wait, on a connection of which
        so many do; None if it may."""
        if session_waits >= TAGGED_WAITS_MAX:
            return replies.TOO_MANY_WAITS
        return self._refusal() if self._waiting.tagged >= ALL_TAGGED_WAITS_MAX else None

    def _refusal(self) -> bytes:
        """Count the error, and return it."""
        self.refused += 1
        return replies.OUT_OF_MEMORY
