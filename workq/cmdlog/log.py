"""What a command log is, and the one that keeps nothing."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol


class Log(Protocol):
    """Takes commits and makes them safe (design 6).

    It reports, in order, how far it has come, by calling what it was given for it; from within
    `append` if it can.
    """

    def append(self, commit: Sequence[Any]) -> int:
        """Take a commit and return its position, which is one more than the last. Never blocks."""
        ...


class NoLog:
    """Keeps nothing: every commit is as safe as it will ever be, at once.

    Args:
        synced: told the position of each commit.
    """

    def __init__(self, synced: Callable[[int], None]) -> None:
        self._synced = synced
        self._position = 0

    def append(self, commit: Sequence[Any]) -> int:
        """Take a commit and forget it."""
        self._position += 1
        self._synced(self._position)
        return self._position
