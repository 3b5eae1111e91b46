"""When the log is synced under `always`: once for as many as can be had without making anyone wait.

A sync costs the processor as much as twenty commands, wherever it is waited for. So it begins only
when a look at the sockets brings nothing more, or a millisecond after the first change; and not
before the one on its way has ended and its replies have left, for who gets them may have more to
say. A client that is alone is synced at once, two looks at the sockets (20 µs) later.
"""

from __future__ import annotations

from collections.abc import Callable

from workq.limits import GATHER_US
from workq.server.writer import Writer


class Gathering:
    """Has what was written synced, in groups.

    Args:
        writer: has the log.
        soon: calls a function after one more look at the sockets (`loop.call_soon`).
        more: whether something has come that is yet to be done.
        now_ns: the time, in nanoseconds.
    """

    def __init__(
        self,
        writer: Writer,
        soon: Callable[[Callable[[], None]], object],
        more: Callable[[], bool],
        now_ns: Callable[[], int],
    ) -> None:
        self._writer = writer
        self._soon = soon
        self._more = more
        self._now_ns = now_ns
        self._begun = False
        self._parked = False  # until the sync on its way has ended
        self._until_ns = 0

    def begin(self) -> None:
        """Something was written that is to be synced."""
        if not self._begun:
            self._begun = True
            self._until_ns = self._now_ns() + GATHER_US * 1000
            self._soon(self._look)

    def go_on(self) -> None:
        """A sync has ended, and replies leave in the turn that is due."""
        if self._parked and not self._writer.syncing:
            self._parked = False
            self._until_ns = self._now_ns() + GATHER_US * 1000
            self._soon(self._look_again)

    def _look_again(self) -> None:
        """That turn is over; give those who were answered the time of one look to say more."""
        self._soon(self._look)

    def _look(self) -> None:
        if self._writer.syncing:
            self._parked = True
        elif self._more() and self._now_ns() < self._until_ns:
            self._soon(self._look)
        else:
            self._begun = False
            self._writer.sync()
