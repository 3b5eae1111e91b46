"""What a command log is, and the one that keeps nothing."""

from typing import Protocol


class Reports(Protocol):
    """What a log tells of the frames it was given, in order; from within `append` if it can."""

    def written(self, position: int) -> None:
        """Every frame up to a position has been handed to the operating system."""
        ...

    def synced(self, position: int) -> None:
        """Every frame up to a position survives the loss of power."""
        ...

    def failed(self, reason: str) -> None:
        """The log has failed, once and for all: nothing that is not synced will be."""
        ...


class Log(Protocol):
    """Takes frames and makes them safe (design 6). Which report a reply waits for is the policy's
    affair, not the log's.

    Attributes:
        keeps: whether it wants the bytes of frames at all; without them commits need no packing.
    """

    keeps: bool

    def append(self, frame: bytes) -> int:
        """Take a frame and return its position, which is one more than the last. Never blocks."""
        ...


class NoLog:
    """Keeps nothing: every frame is as safe as it will ever be, at once.

    Args:
        reports: told the position of each frame.
    """

    keeps = False

    def __init__(self, reports: Reports) -> None:
        self._reports = reports
        self._position = 0

    def append(self, frame: bytes) -> int:
        """Take a frame and forget it."""
        self._position += 1
        self._reports.written(self._position)
        self._reports.synced(self._position)
        return self._position
