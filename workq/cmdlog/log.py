"""What a command log is, and the one that keeps nothing.

A log takes frames in order, gives each a position, and makes them safe. How far it has come it
tells in reports, in order; which of them a reply waits for is the policy's affair, not the log's.
A log never waits: it is used on the event loop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Reports(Protocol):
    """What a log tells of the frames it was given; from within a call of it if it can.

    Positions only rise, and nothing is synced before it is written. After `failed` nothing is
    told any more.
    """

    def written(self, position: int) -> None:
        """Every frame up to a position has been handed to the operating system."""
        ...

    def synced(self, position: int) -> None:
        """Every frame up to a position survives the loss of power."""
        ...

    def full(self, full: bool) -> None:
        """Room for what comes later could not be had any more, or can be again. What makes the
        state grow should be refused meanwhile, for there is room for little else."""
        ...

    def failed(self, reason: str) -> None:
        """The log has failed, once and for all: nothing that is not synced will be."""
        ...


class Log(Protocol):
    """Takes frames and makes them safe (design 6).

    Attributes:
        keeps: whether it wants the bytes of frames at all; without them commits need no packing.
        position: of the last frame there is.
    """

    keeps: bool
    position: int

    def append(self, kind: int, time_ms: int, records: int, body: bytes) -> int:
        """Take a frame and return its position, which is one more than the last. Never blocks.

        Args:
            kind: one of `workq.cmdlog.frames.KINDS` that segments may hold.
            time_ms: when it was made, in milliseconds since 1970.
            records: how many are in the body.
            body: at most `FRAME_BODY_BYTES_MAX`.
        """
        ...

    def sync(self) -> None:
        """Have everything that was appended synced as soon as may be. While one sync is on its
        way, what is asked for gathers for the next."""
        ...

    def tick(self, time_ms: int) -> None:
        """To be called once a second or so: try again what could not be had, see that all is
        well, and, if nothing has been appended since the last call and all is synced, append a
        frame that vouches for it. Takes a position then.

        Args:
            time_ms: now, in milliseconds since 1970.
        """
        ...

    def close(self, time_ms: int, closed: Callable[[], None]) -> None:
        """Sync everything, append a frame that says so, and let go of all that was held. Nothing
        may be appended any more.

        Args:
            time_ms: now, in milliseconds since 1970.
            closed: called when that is done, or the log has failed.
        """
        ...


class NoLog:
    """Keeps nothing: every frame is as safe as it will ever be, at once.

    Args:
        reports: told the position of each frame.
    """

    keeps = False

    def __init__(self, reports: Reports) -> None:
        self._reports = reports
        self.position = 0

    def append(self, kind: int, time_ms: int, records: int, body: bytes) -> int:
        """Take a frame and forget it."""
        self.position += 1
        self._reports.written(self.position)
        self._reports.synced(self.position)
        return self.position

    def sync(self) -> None:
        """There is nothing to sync."""

    def tick(self, time_ms: int) -> None:
        """There is nothing to look after."""

    def close(self, time_ms: int, closed: Callable[[], None]) -> None:
        """There is nothing to let go of."""
        closed()
