"""The connections of a client: those that are kept, and how often one was tried in vain."""

from __future__ import annotations

from collections.abc import Callable

from workq_client.answers import Reader
from workq_client.limits import PAUSE_FIRST_S, PAUSE_MAX_S
from workq_client.network import Places, Wire


class Link:
    """A connection of a client.

    Args:
        wire: its bytes.
        links: all connections that stand, among which it is until it is closed.

    Attributes:
        reader: of its replies.
        spent: whether it must not be used for another call.
    """

    __slots__ = ("links", "reader", "spent", "wire")

    def __init__(self, wire: Wire, links: set[Link]) -> None:
        self.wire = wire
        self.reader = Reader()
        self.spent = False
        self.links = links
        links.add(self)

    def close(self) -> None:
        """End it."""
        self.wire.close()
        self.links.discard(self)


class Pool:
    """Connections of one kind: those that are kept for the next call, and leave to have more.

    Args:
        places: leave.
        count: how many there may be.
        setting: that tells how many, for the error.
    """

    def __init__(self, places: Places, count: int, setting: str) -> None:
        self.places = places
        self.count = count
        self.setting = setting
        self.idle: list[Link] = []

    def pop(self) -> Link | None:
        """One that is kept, and still of use; the one that was used last."""
        while self.idle:
            try:
                link = self.idle.pop()
            except IndexError:  # another thread has been faster
                return None
            if link.wire.quiet():
                return link
            link.close()
        return None

    def drop_idle(self) -> None:
        """Close those that are kept."""
        while self.idle:
            try:
                link = self.idle.pop()
            except IndexError:
                return
            link.close()


class Attempts:
    """What was tried in vain since there was an answer, and how long to wait until the next time.

    Args:
        chance: a number from 0 to 1, each time another.

    Attributes:
        count: how often.
        cause: why, the last time.
    """

    def __init__(self, chance: Callable[[], float]) -> None:
        self._chance = chance
        self._steps = 0
        self.count = 0
        self.cause: BaseException | None = None

    def lost(self, cause: BaseException) -> None:
        """A connection broke. The first time that is no reason to wait: the next may be made."""
        self._steps += self.count > 0
        self.count += 1
        self.cause = cause

    def failed(self, cause: BaseException) -> None:
        """A connection was not made."""
        self._steps += 1
        self.count += 1
        self.cause = cause

    def succeeded(self) -> None:
        """There was an answer."""
        self._steps = self.count = 0

    def pause_s(self) -> float:
        """How long to wait now."""
        if not self._steps:
            return 0.0
        longest = min(PAUSE_FIRST_S * 2 ** min(self._steps - 1, 10), PAUSE_MAX_S)
        return float(longest * (1 + self._chance()) / 2)
