"""The server's steady clock, over stalls, steps of the wall clock, and restarts.

`docs/cmdlog.md` promises that points in time do not move: the clock never steps, and a restart
goes on from where the log had come to by what the wall clock shows has passed. `Times` also knows
how late a server may be at present.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from tests.simulation.violation import demand

#: How late something may be done without a reason, in microseconds.
LATE_US: Final = 4000


class Times:
    """The times of one world.

    Args:
        world: the world.

    Attributes:
        stall_end_us: when the server could run again after the last stall.
    """

    def __init__(self, world: Any) -> None:
        self._world = world
        self._base_ms: int | None = None  # what the clock shows more than has passed
        self._base_before_ms: int | None = None  # that of the server before
        self._kept_ms = 0  # of the last frame that a start has found
        self._last_ms = 0  # the latest time that anybody may have seen
        self._least_offset_ms = 0
        self._started_us = self._first_us = self._stepped_us = self._gone_us = 0
        self._kept_all = False
        self.stall_end_us = self._stall_us = 0

    def started(self, kept_ms: Iterable[int]) -> None:
        """A server has started, and has kept turns of these times."""
        self._kept_ms = max(kept_ms, default=self._kept_ms)
        # What it writes down before its first turn may be of a clock that goes by the wall's.
        self._last_ms = max(self._last_ms, self._world.wall_ms() - self._least_offset_ms)
        self._started_us = self._world.now_us
        self._base_ms = None

    def turn(self, now_ms: int, offset_ms: int, before_ms: int) -> int:
        """A turn begins at a time; how late may be what is done in it, in ms?"""
        now_us = self._world.now_us
        late_us = LATE_US
        if self._base_ms is None:
            self._base_ms = round(now_ms - now_us / 1000)
            self._first_us = now_us
            self._begins(now_ms)
            late_us = 1 << 60
        else:
            demand(now_ms >= before_ms, "clock", "the clock has gone back")
            off_ms = abs(now_ms - now_us / 1000 - self._base_ms)
            demand(off_ms < 3, "clock", f"the clock is off by {off_ms} ms")
            if now_us < self.stall_end_us + 20_000:
                late_us += self._stall_us
            if now_us < self._first_us + 1_100_000:
                late_us += 2_000_000
        self._least_offset_ms = min(self._least_offset_ms, offset_ms)
        return late_us // 1000

    def _begins(self, now_ms: int) -> None:
        """The first turn of a server: goes the clock on, and not too far?"""
        demand(now_ms >= self._kept_ms, "clock", "the clock has gone back over a restart")
        since_ms = (self._world.now_us - self._started_us) // 1000
        wall_ms = self._world.wall_ms() - self._least_offset_ms
        later_ms = max(wall_ms, self._last_ms + since_ms) + 2
        demand(now_ms <= later_ms, "clock", "the clock begins in the future")
        # The server looks at the wall clock each second, and writes down what it is ahead by if
        # that has changed by one. If nothing of that was lost, time goes on where it had come to.
        looked_us = max(self._stepped_us, self.stall_end_us) + 1_100_000
        if self._base_before_ms is not None and self._kept_all and looked_us < self._gone_us:
            assert self._base_ms is not None
            off_ms = abs(self._base_ms - self._base_before_ms)
            demand(off_ms < 1010, "clock", f"a restart has changed the time by {off_ms} ms")

    def stepped(self) -> None:
        """Somebody has set the wall clock."""
        self._stepped_us = self._world.now_us

    def stalled(self, for_us: int) -> None:
        """The machine does not let the server run for a while."""
        now_us = self._world.now_us
        before_us = self._stall_us if now_us < self.stall_end_us + 20_000 else 0
        self._stall_us = before_us + for_us
        self.stall_end_us = max(self.stall_end_us, now_us + for_us)

    def gone(self, now_ms: int, wrote_until_us: int) -> None:
        """A server is gone, which had come to a time, and could write until then or before."""
        self._last_ms = max(self._last_ms, now_ms)
        if self._base_ms is not None:  # what the log itself has written may be later
            self._last_ms = max(self._last_ms, self._base_ms + self._world.now_us // 1000 + 1)
            self._base_before_ms = self._base_ms
            # One that had no turn has kept nothing, nor looked at the clock.
            self._gone_us = wrote_until_us
            self._kept_all = True

    def lost(self) -> None:
        """The next start may find less than was written."""
        self._kept_all = False
