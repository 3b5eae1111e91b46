"""Which queues are known, in the order of their names.

A queue is known while it has jobs or somebody waits for one, and for a while after it was last
mentioned: of the names without jobs and waiters the newest are remembered, so that `inspect`
shows them, and no more, so that names leased at random do not grow memory.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from sortedcontainers import SortedList

from workq.broker.waiting import Waiting
from workq.engine.engine import Engine
from workq.limits import IDLE_NAMES_MAX


class KnownNames:
    """The names of all known queues.

    Args:
        engine: has the queues with jobs.
        waiting: has the lines of those who wait.
    """

    def __init__(self, engine: Engine, waiting: Waiting) -> None:
        self._engine = engine
        self._waiting = waiting
        self._order: SortedList[bytes] = SortedList()
        self._idle: OrderedDict[bytes, None] = OrderedDict()  # newest last
        self._mentioned: OrderedDict[bytes, None] = OrderedDict()

    @property
    def pending(self) -> int:
        """How many queues and lines came and went, and names were mentioned, that are not taken
        in yet."""
        return len(self._engine.shifted) + len(self._waiting.shifted) + len(self._mentioned)

    def __contains__(self, name: bytes) -> bool:
        if name in self._engine.queues or name in self._waiting.lines:
            return True
        self.catch_up()
        return name in self._idle

    def __len__(self) -> int:
        self.catch_up()
        return len(self._order)

    def mention(self, names: Iterable[bytes]) -> None:
        """Remember names, as an accepted command named them."""
        mentioned, idle = self._mentioned, self._idle
        current = not self.pending
        for name in names:
            if current and name in idle:  # the usual case: it is asked for again and again
                idle.move_to_end(name)
            elif name not in self._engine.queues and name not in self._waiting.lines:
                mentioned[name] = None
                mentioned.move_to_end(name)
                current = False

    def listed(self, offset: int, limit: int) -> list[bytes]:
        """The known names in byte order, `limit` from `offset` on."""
        self.catch_up()
        # Two look-ups by index, not a slice: that would walk the list.
        end = min(offset + limit, len(self._order))
        return [self._order[index] for index in range(offset, end)]

    def catch_up(self, names_max: int = -1) -> None:
        """Take in which queues and lines came and went, then what was mentioned.

        Args:
            names_max: how many at the most; -1 for all.
        """
        for shifted in (self._engine.shifted, self._waiting.shifted, self._mentioned):
            while shifted and names_max:
                name, _ = shifted.popitem(last=False)
                self._place(name)
                names_max -= 1

    def _place(self, name: bytes) -> None:
        """Put a name where it belongs now."""
        idle = name in self._idle
        if not idle and name not in self._order:
            self._order.add(name)
        if name in self._engine.queues or name in self._waiting.lines:
            self._idle.pop(name, None)
            return
        self._idle[name] = None
        self._idle.move_to_end(name)
        if len(self._idle) > IDLE_NAMES_MAX:
            oldest, _ = self._idle.popitem(last=False)
            self._order.remove(oldest)
