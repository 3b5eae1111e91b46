"""Deadlines of every kind: timers in a calendar that finds the next one and forgets at once.

A calendar has levels of buckets: milliseconds, then spans of 2^10, 2^20, 2^30 and 2^40 ms. A
timer enters the level of its distance; when the span of a coarse bucket begins, its timers move
to finer ones ("cascade"), so that each fires in its own millisecond. A bucket is a doubly linked
ring of timers, and the timers are the things themselves (a job, a lease, a waiter), so that

- adding and removing cost a few assignments (0.2 µs), wherever the timer is;
- nothing dead stays behind, as it would in a heap with lazy deletion;
- no container grows with the number of timers, so none stalls when it does;
- a million timers of one millisecond can be fired in as many pieces as one likes.

Nothing depends on the order in which time is shown to a calendar: a clock that steps back only
makes timers wait longer in the level where they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import heappop, heappush
from typing import Final, Generic, TypeVar, cast

_SHIFTS = (0, 10, 20, 30, 40)

#: Later than every deadline.
NEVER: Final = 2**62


class Timer:
    """Something with a deadline. It is in one calendar at most.

    Attributes:
        at_ms: the deadline; None for none, and then it is in no calendar.
    """

    __slots__ = ("_after", "_before", "at_ms")

    at_ms: int | None
    _before: Timer | None
    _after: Timer | None

    def __init__(self, at_ms: int | None) -> None:
        self.at_ms = at_ms
        self._before = None
        self._after = None

    def unset(self) -> None:
        """Take the timer out of its calendar, if it is in one."""
        after = self._after
        if after is not None:
            before = self._before
            before._after = after  # type: ignore[union-attr]
            after._before = before
            self._before = self._after = None


def _bucket(at_ms: int, now_ms: int) -> tuple[int, int]:
    """The deadlines that now go into the same bucket as one of them: the first, and the end."""
    left_ms = at_ms - now_ms
    level = 0
    while level < len(_SHIFTS) - 1 and left_ms >= 1 << _SHIFTS[level + 1]:
        level += 1
    shift = _SHIFTS[level]
    first_ms = at_ms >> shift << shift
    end_ms = first_ms + (1 << shift)
    if level:
        first_ms = max(first_ms, now_ms + (1 << shift))
    if level < len(_SHIFTS) - 1:
        end_ms = min(end_ms, now_ms + (1 << _SHIFTS[level + 1]))
    return first_ms, end_ms


Kind = TypeVar("Kind", bound=Timer)


class Calendar(Generic[Kind]):
    """The timers of one kind by deadline.

    Attributes:
        soonest_ms: no deadline comes before it, `NEVER` if there is none at all. It may be
            earlier than the next deadline: the start of the span it lies in, or a deadline that
            was removed.
    """

    __slots__ = ("_buckets", "_keys", "soonest_ms")

    def __init__(self) -> None:
        # Of each level the buckets by number (deadline >> shift) and the heap of these numbers.
        self._buckets: tuple[dict[int, Timer], ...] = tuple({} for _ in _SHIFTS)
        self._keys: tuple[list[int], ...] = tuple([] for _ in _SHIFTS)
        self.soonest_ms = NEVER

    def set(self, timer: Kind, now_ms: int) -> None:
        """Put a timer with a deadline in; `now_ms` only chooses the level."""
        at_ms = timer.at_ms
        assert at_ms is not None
        left_ms = at_ms - now_ms
        if left_ms < 1 << 10:
            level, key = 0, at_ms
        elif left_ms < 1 << 20:
            level, key = 1, at_ms >> 10
        elif left_ms < 1 << 30:
            level, key = 2, at_ms >> 20
        elif left_ms < 1 << 40:
            level, key = 3, at_ms >> 30
        else:
            level, key = 4, at_ms >> 40
        buckets = self._buckets[level]
        ring = buckets.get(key)
        if ring is None:
            ring = buckets[key] = Timer(at_ms)
            ring._before = ring._after = ring
            heappush(self._keys[level], key)
            self.soonest_ms = min(self.soonest_ms, key << _SHIFTS[level])
        elif at_ms < ring.at_ms:  # type: ignore[operator]
            ring.at_ms = at_ms  # of a bucket: no deadline in it comes before
        last = ring._before
        timer._before = last
        timer._after = ring
        last._after = timer  # type: ignore[union-attr]
        ring._before = timer

    def set_all(self, timers: Iterable[Kind], now_ms: int) -> None:
        """Put timers with a deadline in, one after the other; most go where the last one went.

        Args:
            timers: some, which are in no calendar.
            now_ms: only chooses the level.
        """
        first_ms = end_ms = 0  # what goes where the last one went
        ring: Timer | None = None
        for timer in timers:
            at_ms = timer.at_ms
            if first_ms <= at_ms < end_ms:  # type: ignore[operator]
                last = ring._before  # type: ignore[union-attr]
                timer._before = last
                timer._after = ring
                last._after = timer  # type: ignore[union-attr]
                ring._before = timer  # type: ignore[union-attr]
                if at_ms < ring.at_ms:  # type: ignore[operator, union-attr]
                    ring.at_ms = at_ms  # type: ignore[union-attr]
            else:
                self.set(timer, now_ms)
                ring = timer._after
                first_ms, end_ms = _bucket(at_ms, now_ms)  # type: ignore[arg-type]

    def cascade(self, now_ms: int, moves_max: int) -> int:
        """Move the timers of coarse buckets that have begun; return how many were moved."""
        moves = 0
        for level in range(len(_SHIFTS) - 1, 0, -1):
            keys = self._keys[level]
            while keys and keys[0] << _SHIFTS[level] <= now_ms:
                ring = self._buckets[level][keys[0]]
                while (timer := ring._after) is not ring:
                    if moves >= moves_max:
                        return moves
                    assert timer is not None
                    timer.unset()
                    self.set(cast(Kind, timer), now_ms)
                    moves += 1
                self._drop_first(level)
        return moves

    def first(self, now_ms: int) -> Kind | None:
        """The first timer whose deadline has come, None if there is none. It stays in."""
        keys = self._keys[0]
        while keys and keys[0] <= now_ms:
            ring = self._buckets[0][keys[0]]
            if ring._after is not ring:
                return cast(Kind, ring._after)
            self._drop_first(0)
        return None

    def is_due(self, now_ms: int) -> bool:
        """Whether a deadline has come, or may have in a bucket that is not moved yet."""
        if self.soonest_ms > now_ms:
            return False
        for level, (keys, buckets) in enumerate(zip(self._keys, self._buckets, strict=True)):
            # The head tells: a later bucket of a level has begun only if this one is over.
            while keys and (ring := buckets[keys[0]])._after is ring:
                self._drop_first(level)
            if keys and buckets[keys[0]].at_ms <= now_ms:  # type: ignore[operator]
                return True
        return False

    def timers(self) -> Iterator[Kind]:
        """All timers, in no useful order: for dumps."""
        for buckets in self._buckets:
            for ring in buckets.values():
                timer = ring._after
                while timer is not None and timer is not ring:
                    yield cast(Kind, timer)
                    timer = timer._after

    def _drop_first(self, level: int) -> None:
        # An emptied bucket refers to itself: cut it, or only the collector could free it.
        ring = self._buckets[level].pop(heappop(self._keys[level]))
        ring._before = ring._after = None
        self.soonest_ms = min(
            (keys[0] << shift for keys, shift in zip(self._keys, _SHIFTS, strict=True) if keys),
            default=NEVER,
        )
