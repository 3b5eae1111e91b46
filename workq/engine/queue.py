"""A queue: the jobs of one name, those that may be leased in the order they shall be.

The order is priority, high first; then due time; then arrival (`seq`). Jobs mostly arrive in that
order and mostly leave at its head, so each priority has a run: jobs in order, in chunks of a few
hundred. Appending at the tail and removing at the head cost 0.1 to 0.2 µs; anything in the middle
(a job that comes back to its place, one that ends while it waits) costs a binary search for the
chunk, one inside it, and moving half a chunk: about 2 µs, whatever the length. A job takes eight
bytes in it. Nothing dead stays behind.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar, cast

from sortedcontainers import SortedDict

if TYPE_CHECKING:
    from workq.engine.job import Options


class Ordered(Protocol):
    """What the order looks at."""

    due_ms: int
    seq: int
    options: Options


Item = TypeVar("Item", bound=Ordered)

#: Jobs in a chunk before it is split in two, or a new one begun at the tail.
CHUNK_MAX = 512

#: Empty runs kept for their priority's next job: making one costs ten times what using it does.
EMPTY_RUNS_MAX = 16


def _place(item: Ordered) -> tuple[int, int]:
    return item.due_ms, item.seq


def _first_place(chunk: list[Item]) -> tuple[int, int]:
    return _place(chunk[0])


class Run(Generic[Item]):
    """The jobs of one priority, by due time and arrival. No chunk is ever empty."""

    __slots__ = ("_chunks", "size")

    def __init__(self) -> None:
        self._chunks: list[list[Item]] = []
        self.size = 0

    def add(self, item: Item) -> None:
        """Put a job at its place."""
        chunks = self._chunks
        self.size += 1
        if not chunks:
            chunks.append([item])
            return
        chunk = chunks[-1]
        last = chunk[-1]
        if last.due_ms <= item.due_ms and (last.seq < item.seq or last.due_ms < item.due_ms):
            if len(chunk) < CHUNK_MAX:
                chunk.append(item)
            else:
                chunks.append([item])
            return
        place = _place(item)
        number = max(bisect_right(chunks, place, key=_first_place) - 1, 0)
        chunk = chunks[number]
        chunk.insert(bisect_right(chunk, place, key=_place), item)
        if len(chunk) > CHUNK_MAX:
            chunks.insert(number + 1, chunk[CHUNK_MAX // 2 :])
            del chunk[CHUNK_MAX // 2 :]

    def remove(self, item: Item) -> None:
        """Take a job out that is in."""
        chunks = self._chunks
        chunk = chunks[0]
        self.size -= 1
        if chunk[0] is item:
            number, index = 0, 0
        else:
            place = _place(item)
            number = bisect_right(chunks, place, key=_first_place) - 1
            chunk = chunks[number]
            index = bisect_left(chunk, place, key=_place)
            assert chunk[index] is item, "a job is not at its place"
        del chunk[index]
        if not chunk:
            del chunks[number]

    def remove_first(self, item: Item) -> bool:
        """Take a job out if it is at the head of a run with others; return whether it was."""
        chunk = self._chunks[0]
        if chunk[0] is not item:
            return False
        self.size -= 1
        del chunk[0]
        if not chunk:
            del self._chunks[0]
        return True

    def first(self) -> Item:
        """The job at the head of a run that is not empty."""
        return self._chunks[0][0]

    def from_offset(self, offset: int) -> Iterator[Item]:
        """The jobs in order, without the first `offset`."""
        for chunk in self._chunks:
            if offset < len(chunk):
                yield from chunk[offset:] if offset else chunk
                offset = 0
            else:
                offset -= len(chunk)


class Order(Generic[Item]):
    """Jobs by priority, high first, then due time, then arrival."""

    __slots__ = ("_runs", "_top", "size")

    def __init__(self) -> None:
        # By negated priority, in order. A plain dict is in order while it holds one: most queues
        # know one priority only, and a sorted one takes a thousand bytes more.
        self._runs: dict[int, Run[Item]] = {}
        self._top: Run[Item] | None = None  # where the first job is; None: to be looked for
        self.size = 0

    def add(self, item: Item) -> None:
        """Put a job at its place."""
        key = -item.options.priority
        run = self._runs.get(key)
        if run is None:
            if len(self._runs) == 1:
                self._runs = cast(dict[int, Run[Item]], SortedDict(self._runs))
            run = self._runs[key] = Run()
        run.add(item)
        self.size += 1
        if run is not self._top:
            self._top = None

    def remove(self, item: Item) -> None:
        """Take a job out that is in."""
        self.size -= 1
        top = self._top
        if top is not None and top.size > 1 and top.remove_first(item):
            return
        key = -item.options.priority
        run = self._runs[key]
        run.remove(item)
        if not run.size:
            self._top = None
            if len(self._runs) > EMPTY_RUNS_MAX:
                del self._runs[key]

    def first(self) -> Item | None:
        """The job that is next, None if there is none."""
        top = self._top
        if top is None:
            if not self.size:
                return None
            top = self._top = next(run for run in self._runs.values() if run.size)
        return top.first()

    def from_offset(self, offset: int) -> Iterator[Item]:
        """The jobs in order, without the first `offset`."""
        if offset >= self.size:
            return
        for run in self._runs.values():
            if offset < run.size:
                yield from run.from_offset(offset)
                offset = 0
            else:
                offset -= run.size


class Queue(Generic[Item]):
    """The jobs of one name.

    Attributes:
        name: the name.
        ready: the jobs that may be leased.
        scheduled: the jobs whose time has not come.
        size: how many jobs belong to it, in whatever state.
        woken: whether it stands in `State.woken`.
        served: when it was last chosen from, for fairness among names; rises with each lease.
    """

    __slots__ = ("name", "ready", "scheduled", "served", "size", "woken")

    def __init__(self, name: bytes, served: int) -> None:
        self.name = name
        self.ready: Order[Item] = Order()
        self.scheduled: Order[Item] = Order()
        self.size = 0
        self.served = served
        self.woken = False
