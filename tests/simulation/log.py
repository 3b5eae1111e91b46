"""A log in memory that comes on, or fails, when it is told to.

The second `workq.cmdlog.log.Log`, for tests of what stands above: of the broker and the ring no
disk is needed, only a log whose every report can come early, late or never. It is held to the
same contract as the one that is shipped (`tests/cmdlog/contract.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from workq.cmdlog.frames import MARK, STOP
from workq.cmdlog.log import Reports


class Appended(NamedTuple):
    """A frame as it was given to the log."""

    kind: int
    time_ms: int
    records: int
    body: bytes


class MemoryLog:
    """A log in memory.

    Args:
        reports: is told what the test lets happen.
        eager: frames are written at once, from within `append`, as small ones are to a directory.

    Attributes:
        eager: as given.
        frames: all that were appended; that of position p is the (p - 1)th.
        written, synced: how far it has come.
        wanted: up to where a sync was asked for.
        failure: why it failed; empty while it has not.
    """

    keeps = True

    def __init__(self, reports: Reports, eager: bool = False) -> None:
        self._reports = reports
        self.eager = eager
        self.frames: list[Appended] = []
        self.position = self.written = self.synced = self.wanted = 0
        self.failure = ""
        self._syncing = 0  # up to here; 0 for no sync that is on its way
        self._full = False
        self._ticked = 0
        self._closed: Callable[[], None] | None = None

    # --- what the server does ---------------------------------------------------------------

    def append(self, kind: int, time_ms: int, records: int, body: bytes) -> int:
        """Take a frame."""
        self.frames.append(Appended(kind, time_ms, records, body))
        self.position += 1
        if self.eager:
            self.write()
        return self.position

    def sync(self) -> None:
        """Ask for a sync."""
        self.wanted = self.position

    def tick(self, time_ms: int) -> None:
        """Vouch for what there is, if nothing happens."""
        if self.failure or self._closed is not None:
            return
        idle = self.synced == self.position == self._ticked
        if idle and not (self.frames and self.frames[-1].kind == MARK):
            self.append(MARK, time_ms, 0, b"")
            self.sync()
        self._ticked = self.position

    def close(self, time_ms: int, closed: Callable[[], None]) -> None:
        """Ask for the end."""
        self._closed = closed
        if self.failure:
            closed()
            return
        self.append(STOP, time_ms, 0, b"")
        self.sync()

    # --- what the test does -----------------------------------------------------------------

    def write(self, upto: int | None = None) -> None:
        """Let frames be written, all or up to a position."""
        upto = self.position if upto is None else min(upto, self.position)
        while self.written < upto and not self.failure:
            self.written += 1
            self._reports.written(self.written)

    def begin_sync(self) -> bool:
        """Let a sync begin if one is wanted and none is on its way; whether one did."""
        if self.failure or self._syncing or min(self.wanted, self.written) <= self.synced:
            return False
        self._syncing = self.written
        return True

    def end_sync(self) -> bool:
        """Let the sync that is on its way end; whether there was one."""
        if self.failure or not self._syncing:
            return False
        self.synced, self._syncing = self._syncing, 0
        self._reports.synced(self.synced)
        if self._closed is not None and self.synced == self.position:
            self._closed()
        return True

    def run(self) -> None:
        """Let everything happen that was asked for."""
        self.write()
        while self.begin_sync() or self.end_sync():
            pass

    def set_full(self, full: bool) -> None:
        """Let room run out, or be there again."""
        if not self.failure and full != self._full:
            self._full = full
            self._reports.full(full)

    def fail(self, reason: str = "the log in memory was told to fail") -> None:
        """Let the log fail, as it can only once."""
        if not self.failure:
            self.failure = reason
            self._reports.failed(reason)
            if self._closed is not None:
                self._closed()

    def survivors(self, more: int = 0) -> list[Appended]:
        """What a power cut leaves: all that is synced, and so many frames more that are written."""
        return self.frames[: min(self.synced + more, self.written)]
